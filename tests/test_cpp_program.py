"""The C++ side of programs, built against the wheels that are installed, and run on folders that Python wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import graphopt
from graphopt.backends.ort.reference import random_feeds
from tests.networks import network

SOURCES = Path(graphopt.__file__).parent / "runtime" / "cpp"
TWO = """
g (float[2,3] x, float[3] y) => (float[2,4] a, float[2,3] b)
<float[3,4] w>
{ b = Add (x, y)
  a = MatMul (b, w) }
"""

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the command once."""
    path = tmp_path_factory.mktemp("cpp") / "run"
    ffi, tvm = (Path(*(find_spec(name).submodule_search_locations)) for name in ("tvm_ffi", "tvm"))  # type: ignore[union-attr,misc]
    libraries = [ffi / "lib", tvm / "lib"]
    build: list[str | Path] = [
        "g++",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-isystem",
        ffi / "include",
        *SOURCES.glob("*.cc"),
    ]
    links = [*(f"-L{folder}" for folder in libraries), "-Wl,--no-as-needed", "-ltvm_runtime", "-ltvm_ffi"]
    subprocess.run([*build, "-o", path, *links, f"-Wl,-rpath,{':'.join(map(str, libraries))}"], check=True)
    return path


def run(command: Path, folder: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([command, folder], input=given, capture_output=True, check=False)


def saved(text: str, folder: Path) -> Path:
    graphopt.compile(network(text), cache=False).save(folder)
    return folder


def test_it_answers_as_python_does(command: Path, tmp_path: Path) -> None:
    folder = saved(TWO, tmp_path / "two outputs")
    feeds = random_feeds(network(TWO), seed=1)
    expected = graphopt.load(folder)(feeds)
    done = run(command, folder, b"".join(feeds[name].tobytes() for name in ("x", "y")))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected["a"].tobytes() + expected["b"].tobytes()


def test_what_it_cannot_run_is_a_sentence(command: Path, tmp_path: Path) -> None:
    folder = saved(TWO, tmp_path / "program")
    assert b"usage: " in subprocess.run([command], capture_output=True, check=False).stderr
    assert b"too few bytes for input x" in run(command, folder).stderr
    assert b"holds no manifest.json" in run(command, tmp_path).stderr
    graphopt.compile(network(TWO), "onnxruntime", cache=False).save(tmp_path / "fallback")
    assert b"runs in onnxruntime" in run(command, tmp_path / "fallback").stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", b"{", b"manifest.json is damaged"),
        ("manifest.json", json.dumps({"format_version": 4}).encode(), b"another version of graphopt"),
        ("weights.bin", b"", b"the weights of the program are damaged"),
        ("weights.bin", bytes(1000), b"the weights of the program are damaged"),
    ],
)
def test_a_damaged_folder_is_a_sentence(
    command: Path, tmp_path: Path, name: str, content: bytes, message: bytes
) -> None:
    folder = saved(TWO, tmp_path / "program")
    (folder / name).write_bytes(content)
    done = run(command, folder)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_an_array_that_ends_behind_the_file_is_damage(command: Path, tmp_path: Path) -> None:
    folder = saved(TWO, tmp_path / "program")
    weights = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(weights[: len(weights) // 2])
    assert b"damaged" in run(command, folder, np.zeros(9, np.float32).tobytes()).stderr
