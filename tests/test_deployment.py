"""Where programs are sent: what loading one imports, and what the distribution that only runs them consists of."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphopt
from graphopt.backends.tvm import abi
from graphopt.errors import TargetError
from tests.networks import network

ROOT = Path(__file__).parent.parent
RUNTIME = ROOT / ".distributions" / "runtime"
DEPENDENCIES = {"archspec", "msgspec", "numpy", "tvm_ffi", "xxhash"}
OF_THOSE = {"_cython_3_3_0", "cython_runtime", "ml_dtypes", "typing_extensions"}
"""What those import in their turn, where it is installed."""
LOAD = """
import json, sys
sys.modules["torch"] = None  # which tvm_ffi imports where it is installed
import numpy as np, graphopt
graphopt.load(sys.argv[1])(np.ones((1, 4), np.float32))
print(json.dumps(sorted(sys.modules)))
"""
NATIVE = "g (float[1,4] x) => (float[1,8] y) <float[4,8] w> { y = MatMul (x, w) }"


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the modules that a process has which loaded a program and ran it."""
    path = tmp_path_factory.mktemp("deployment") / "model.gopt"
    graphopt.compile(network(NATIVE), cache=False).save(path)
    command = [sys.executable, "-c", LOAD, str(path)]
    return set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout))


@pytest.fixture(scope="module")
def distribution() -> dict[str, Any]:
    return tomllib.loads((RUNTIME / "pyproject.toml").read_text())


def test_loading_a_program_imports_what_runs_it_alone(imported: set[str]) -> None:
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    found = {name for name in packages if not name.startswith(("__", "_distutils_hack", "_virtualenv", "a1_coverage"))}
    assert found - {"graphopt", "torch", "coverage"} - OF_THOSE == DEPENDENCIES


def test_the_distribution_has_every_module_that_is_imported(imported: set[str], distribution: dict[str, Any]) -> None:
    carried = distribution["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert all((RUNTIME / source).exists() for source in carried)
    for name in (name for name in imported if name.partition(".")[0] == "graphopt"):
        path = Path(name.replace(".", "/"))
        assert {f"{path}.py", f"{path}/__init__.py", str(path), str(path.parent)} & set(carried.values()), name


def test_the_distribution_asks_for_the_versions_that_graphopt_asks_for(distribution: dict[str, Any]) -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    project = distribution["project"]
    assert set(project["dependencies"]) | set(project["optional-dependencies"]["fallback"]) <= set(whole)
    assert f"apache-tvm=={abi.TVM_VERSION}" in whole
    assert f"apache-tvm=={abi.TVM_VERSION}" in distribution["build-system"]["requires"]
    assert f'VERSION = "{abi.TVM_VERSION}"' in (RUNTIME / "hatch_build.py").read_text()


def test_without_onnxruntime_what_needs_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphopt.compile(network(NATIVE), "onnxruntime", cache=False).save(tmp_path / "fallback.gopt")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "graphopt.backends.ort.session")
    module = graphopt.load(tmp_path / "fallback.gopt")
    with pytest.raises(TargetError, match="'optimized.onnx' in .* run: pip install onnxruntime"):
        module(np.ones((1, 4), np.float32))


def test_without_the_compiler_its_names_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphopt.compiler.compile", None)
    with pytest.raises(ImportError, match="has no compile; run: pip install graphopt"):
        graphopt.compile  # noqa: B018


def test_a_name_whose_own_imports_are_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "graphopt.runtime.module")
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match="numpy"):
        graphopt.load  # noqa: B018
