"""Programs for CUDA, their host side: a library of ours stands for the driver, whose kernels run on this processor."""

from __future__ import annotations

import ctypes
import gc
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.tvm.gpu import cuda, cuda_driver, write
from graphopt.errors import RunError, TargetError
from graphopt.numerics import differences
from tests.networks import network

HERE = Path(__file__).parents[1]
GIBIBYTE = 1 << 30
NETWORK = """
    g (float[1,32,9,9] x) => (float[1,20,5,5] y, float[1,32,9,9] same)
    <float[32,1,3,3] d, float[32,16,1,1] p, float[20,32,3,3] w, float[20] b>
    { a = Conv <group=32, pads=[1,1,1,1]> (x, d) c = Conv <group=2> (a, p) r = Relu (c)
      y = Conv <strides=[2,2], pads=[1,1,1,1]> (r, w, b) same = Identity (x) }
"""
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def on_cpu(source: str, folder: Path) -> bytes:
    """Build kernels of CUDA C++ whose threads do not speak with each other; return what the stand-in takes for code."""
    code = source[source.rindex("#endif") :].removeprefix("#endif")
    path, runs = folder / "kernels.cpp", []
    for name, taken in re.findall(r"__launch_bounds__\(\d+\) (\w+)\(([^)]*)\)\s*{", code):
        kinds = [parameter.replace("__restrict__", "").split("*")[0].strip() for parameter in taken.split(",")]
        arguments = ", ".join(f"*({kind}**)arguments[{index}]" for index, kind in enumerate(kinds))
        loops = "".join(
            f"for ({place}.{axis} = 0; {place}.{axis} < (int)extents[{index}]; ++{place}.{axis}) "
            for index, (place, axis) in enumerate(
                (place, axis) for place in ("blockIdx", "threadIdx") for axis in "xyz"
            )
        )
        head = f'extern "C" void {name}_on_cpu(const unsigned* extents, void** arguments)'
        runs.append(f"{head} {{ {loops} {name}({arguments}); }}")
    path.write_text(f'#include "{HERE / "cuda_on_cpu.h"}"\n{code}\n' + "\n".join(runs))
    library = path.with_suffix(".so")
    subprocess.run(["g++", "-w", "-O1", "-shared", "-fPIC", "-o", library, path], check=True)
    return f"{library}\0".encode()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    home, built = cuda._home(), tmp_path_factory.mktemp("driver") / "libcuda.so"
    header = [] if home is None or not (home / "include/cuda.h").exists() else ["-DHAS_CUDA_H", f"-I{home}/include"]
    command = ["g++", "-Wall", "-Werror", "-shared", "-fPIC", *header, "-o", built, HERE / "cuda_driver_on_cpu.cpp"]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(built))
    library.stand_for.argtypes = [ctypes.c_int] * 3 + [ctypes.c_size_t]
    return library


@pytest.fixture
def driver(stand_in: ctypes.CDLL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    stand_in.stand_for(1, 9, 0, GIBIBYTE)
    monkeypatch.setattr(cuda_driver, "_LIBRARY", stand_in._name)
    monkeypatch.setattr(write, "compile_cuda", lambda source, _arch: on_cpu(source, tmp_path))
    cuda_driver._driver.cache_clear()
    yield stand_in
    cuda_driver._driver.cache_clear()


def compiled() -> graphopt.CompiledModule:
    return graphopt.compile(network(NETWORK), "cuda{arch=sm_90}", cache=False)


def test_a_program_answers_on_any_thread_and_frees_what_it_took(driver: ctypes.CDLL) -> None:
    before = driver.live()
    module = compiled()
    feeds = random_feeds(network(NETWORK), shapes=module.variants[0])
    expected = evaluate(network(NETWORK), feeds)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(module.run, [feeds] * 3))
    for one in found:
        assert max(each.error for each in differences(expected, one)) < 1e-5
    assert driver.launches() >= 9
    assert driver.live() > before
    del module
    gc.collect()
    assert driver.live() == before


@pytest.mark.parametrize(
    ("machine", "error", "sentence"),
    [
        ((0, 9, 0, GIBIBYTE), TargetError, r"for a GPU \(sm_90\), and this machine has none .*; compile for cpu"),
        ((1, 8, 6, GIBIBYTE), TargetError, r"'stand-in' is of compute capability 8.6; compile it for cuda{arch=sm_86}"),
        ((1, 9, 0, 1000), RunError, "the GPU 'stand-in' failed at cuMemAlloc_v2: out of memory"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(
    driver: ctypes.CDLL, machine: tuple[int, ...], error: type[Exception], sentence: str
) -> None:
    driver.stand_for(*machine)
    with pytest.raises(error, match=sentence):
        compiled()(np.zeros((1, 32, 9, 9), np.float32))


def test_code_that_the_driver_refuses_is_one_sentence(driver: ctypes.CDLL) -> None:
    device = cuda_driver.CudaDevice("sm_90")
    device.begin()
    with pytest.raises(TargetError, match="'stand-in' takes no such kernels: no such thing"):
        device.load(b"/nowhere\0", ["k"])


def test_a_machine_without_the_driver_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libno-such-driver.so")
    cuda_driver._driver.cache_clear()
    with pytest.raises(TargetError, match=r"needs NVIDIA's driver and a GPU, .* cannot be loaded .*; compile for cpu"):
        cuda_driver.CudaDevice("sm_90")
    cuda_driver._driver.cache_clear()
