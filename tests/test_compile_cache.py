"""The second compile of one request comes from the cache, and what is another request does not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Never

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import graphopt
from graphopt.errors import OutputError, TargetError
from graphopt.runtime import cache
from graphopt.runtime.folder import Folder
from graphopt.runtime.manifest import Manifest
from graphopt.targets import Precision, host
from tests.networks import network
from tests.test_compile import agree

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_second_compile_comes_from_the_cache(own_cache: Path) -> None:
    stages: list[str] = []
    graphopt.compile(network(), on_stage=stages.append)
    assert stages
    stages.clear()
    agree(network(), graphopt.compile(network(), on_stage=stages.append), 1)
    assert stages == []
    graphopt.compile(network(), threads=1, on_stage=stages.append)
    graphopt.compile(network(seed=1), on_stage=stages.append)
    assert stages.count("optimize") == 2
    assert cache.size() > 0
    assert cache.clear() == 3
    assert cache.clear() == 0


def test_the_key_of_a_file_is_its_content(tmp_path: Path, own_cache: Path) -> None:
    from graphopt.ir.save import save

    for name in ("a.onnx", "b c.onnx"):
        save(network(), tmp_path / name)
        graphopt.compile(tmp_path / name)
    assert len(list(own_cache.iterdir())) == 1


def test_a_known_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphopt.compiler import compile as compiler
    from graphopt.ir.save import save

    save(network(), tmp_path / "a.onnx")
    graphopt.compile(tmp_path / "a.onnx")

    def load(*arguments: object, **options: object) -> Never:
        raise AssertionError("it is read")

    monkeypatch.setattr(compiler, "load", load)
    agree(network(), graphopt.compile(tmp_path / "a.onnx"), 1)
    with pytest.raises(AssertionError, match="it is read"):
        graphopt.compile(tmp_path / "a.onnx", threads=1)


def test_the_key_of_a_file_is_the_content_of_its_external_data_too(tmp_path: Path, own_cache: Path) -> None:
    path, model = tmp_path / "a.onnx", ir.to_proto(network())
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    x = np.ones((1, 3, 8, 8), np.float32)
    before = graphopt.compile(path)(x)["y"]
    np.testing.assert_array_equal(graphopt.compile(path)(x)["y"], before)
    assert len(list(own_cache.iterdir())) == 1
    weights = np.fromfile(tmp_path / "weights", np.float32)
    (weights * 2).tofile(tmp_path / "weights")
    assert (graphopt.compile(path)(x)["y"] != before).any()
    assert len(list(own_cache.iterdir())) == 2


def test_no_cache_leaves_nothing(own_cache: Path) -> None:
    graphopt.compile(network(), cache=False)
    assert not own_cache.exists()


def test_a_damaged_entry_is_made_again(own_cache: Path) -> None:
    graphopt.compile(network())
    (entry,) = own_cache.iterdir()
    (entry / "manifest.json").write_text("{")
    agree(network(), graphopt.compile(network()), 1)


def test_concurrent_writers_make_one_entry(own_cache: Path) -> None:
    start = threading.Barrier(3)

    def compile_at_once() -> graphopt.CompiledModule:
        start.wait()
        return graphopt.compile(network())

    with ThreadPoolExecutor(3) as pool:
        modules = [future.result() for future in [pool.submit(compile_at_once) for _ in range(3)]]
    for module in modules:
        agree(network(), module, 1)
    assert len(list(own_cache.iterdir())) == 1


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="set GRAPHOPT_CACHE or turn it off"):
        graphopt.compile(network())


def test_auto_is_fp32_where_the_processor_does_not_multiply_bf16(own_cache: Path) -> None:
    without = replace(host(), features=host().features - {"avx512_bf16"})
    program, same = graphopt.compile(network(), without), graphopt.compile(network(), without, precision="auto")
    assert len(list(own_cache.iterdir())) == 1
    x = np.ones((1, 3, 8, 8), np.float32)
    for name, array in program(x).items():
        np.testing.assert_array_equal(same(x)[name], array)
    with pytest.raises(TargetError, match="cannot multiply in bf16"):
        graphopt.compile(network(), without, precision="bf16")


def test_a_program_says_its_precision_and_is_cached_by_it(own_cache: Path, tmp_path: Path) -> None:
    rounding = replace(host(), precision=Precision.BF16)
    single, program = graphopt.compile(network(), rounding, precision="fp32"), graphopt.compile(network(), rounding)
    assert len(list(own_cache.iterdir())) == 2
    program.save(tmp_path / "program")
    assert (
        Manifest.read(Folder(tmp_path / "program")).target
        == str(rounding)
        == str(single.target)[:-1] + " precision=bf16}"
    )
