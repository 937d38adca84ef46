"""Kernels for GPUs, without one: what they ask for, what CUDA's compilers make of them, what they compute."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.cli.main import build_app
from graphopt.errors import ModelError, TargetError
from graphopt.ir.load import load
from graphopt.numerics import differences
from graphopt.targets import parse_target
from graphopt.tensors import Array
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
NETWORKS = {
    "convolution": """
        g (float[1,5,9,9] x) => (float[1,20,5,5] y) <float[20,5,3,3] w, float[20] b, float[20,20,1,1] p>
        { c = Conv <strides=[2,2], pads=[1,1,1,1]> (x, w, b) r = Relu (c) y = Conv (r, p) }
    """,
    "groups and depthwise": """
        g (float[1,32,7,7] x) => (float[1,32,7,7] y) <float[32,1,3,3] d, float[32,16,1,1] p>
        { a = Conv <group=32, pads=[1,1,1,1]> (x, d) y = Conv <group=2> (a, p) }
    """,
    "pooling": """
        g (float[2,16,8,8] x) => (float[2,16,4,4] y, float[2,16,8,8] z)
        { y = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)
          z = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x) }
    """,
}
needs_compiler = pytest.mark.skipif(
    shutil.which("nvcc") is None and __import__("importlib.util").util.find_spec("nvidia") is None,
    reason="needs nvcc, or NVRTC: pip install graphopt[cuda]",
)


def models() -> dict[str, object]:
    return {"digits": load(DIGITS), **{name: network(text) for name, text in NETWORKS.items()}}


def scheduled(model: object, target: str) -> tuple[object, object]:
    """Return the module of kernels of a model before, and after they are scheduled for a GPU."""
    from graphopt.backends.tvm.lower.region import lower
    from graphopt.backends.tvm.schedule.module import fuse, schedule
    from graphopt.compiler.optimize import optimize
    from graphopt.compiler.specialize import specialize
    from graphopt.compiler.table import rows_of

    machine = parse_target(target)
    model = specialize(optimize(model, "O2", target=machine)[0], rows_of(None)[0]).model
    graph = optimize(model, "O1", target=machine)[0].graph
    lowered = lower([*graph], graph.inputs, graph.outputs, machine)
    return fuse(lowered, machine), schedule(lowered, machine)


def kernels(module: object) -> dict[str, object]:
    from tvm import tirx

    return {name.name_hint: f for name, f in module.functions.items() if isinstance(f, tirx.PrimFunc)}


@pytest.mark.parametrize("target", ["cuda", "webgpu"])
@pytest.mark.parametrize("name", ["digits", *NETWORKS])
def test_launches_stay_within_limits(name: str, target: str) -> None:
    from graphopt.backends.tvm.gpu.limits import SHARED_BYTES, launch

    for kernel in kernels(scheduled(models()[name], target)[1]).values():
        asked = launch(kernel)
        assert 0 < asked.threads <= parse_target(target).threads_per_block
        assert asked.shared_bytes <= SHARED_BYTES


@needs_compiler
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_kernels_become_code_for_the_gpu_that_was_asked_for(arch: str) -> None:
    from graphopt.backends.tvm.build import plan, tvm_target
    from graphopt.backends.tvm.gpu.codegen import sources
    from graphopt.backends.tvm.gpu.cuda import compile_cuda

    target = parse_target(f"cuda{{arch={arch}}}")
    planned, _ = plan(scheduled(models()["digits"], str(target))[1], target)
    ptx = compile_cuda(sources(planned.module, tvm_target(target)), arch, "ptx").decode()
    assert re.search(rf"^\.target {arch}\b", ptx, re.MULTILINE)
    entries = set(re.findall(r"\.entry (\w+)", ptx))
    assert {f"{name}_kernel" for name in kernels(planned.module)} <= entries
    assert "fma.rn.f32" in ptx
    assert ".approx" not in ptx.replace("ex2.approx", "")  # expf itself is made of it


@needs_compiler
@pytest.mark.parametrize("target", ["cuda{arch=sm_90}"])
def test_a_program_is_compiled_saved_and_loaded_without_a_gpu(target: str, tmp_path: Path) -> None:
    graphopt.compile(DIGITS, target, cache=False).save(tmp_path / "program")
    module = graphopt.load(tmp_path / "program")
    assert module.manifest.machine is not None
    assert module.manifest.machine.gpu == parse_target(target).arch
    assert {placement.executor for placement in module.report.placements} == {"tvm"}
    (binary,) = (tmp_path / "program").glob("*.cubin")
    shutil.copytree(tmp_path / "program", tmp_path / "damaged")
    (tmp_path / "damaged" / binary.name).write_bytes(binary.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match=binary.name):
        graphopt.load(tmp_path / "damaged")
    image = np.load("models/digits/digits_test.npz")["images"][:1].astype(np.float32)
    try:
        found = module(image)
    except TargetError as error:
        assert "for a GPU" in str(error) or "runtime for CUDA" in str(error) or "is for GPUs of" in str(error)  # noqa: PT017
        pytest.skip(f"nothing to execute it: {error}")
    assert differences(graphopt.compile(DIGITS, cache=False)(image), found)[0].error < 1e-5


@pytest.mark.parametrize(
    ("arch", "found", "runs"),
    [
        ("sm_80", "8.6", True),
        ("sm_86", "8.0", False),
        ("sm_80", "9.0", False),
        ("sm_90", "9.0", True),
        ("sm_100", "10.3", True),
    ],
)
def test_machine_code_runs_on_later_gpus_of_its_major_number(arch: str, found: str, runs: bool) -> None:
    from graphopt.backends.tvm.gpu.executor import runs_on

    assert runs_on(arch, found) is runs


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cuda{arch=sm_60}", "arch=sm_60 of a target must be a compute capability from sm_75 on"),
        ("cuda{arch=90}", "arch=90 of a target must be"),
        ("cuda{cores=2}", "target 'cuda' has no option 'cores'; it has arch"),
        ("vulkan", "vulkan cannot be built: TVM lacks the code generator for SPIR-V"),
        ("rocm", "rocm cannot be built: TVM lacks"),
        ("cuda{arch=sm_80 precision=fp16}", "no option 'precision'"),
    ],
)
def test_what_cannot_be_compiled_for_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        parse_target(text)


@pytest.mark.parametrize(
    ("kind", "file", "word"),
    [
        ("opencl", "kernels.cl", "__kernel void"),
        ("metal", "kernels.metal", "kernel void"),
        ("webgpu", "kernels.wgsl", "@compute"),
    ],
)
def test_sources_are_written_and_said_not_to_be_executed(kind: str, file: str, word: str, tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    done = CliRunner().invoke(build_app(), ["compile", str(DIGITS), "-o", str(folder), "--target", kind])
    assert done.exit_code == 0, done.stderr
    assert word in (folder / file).read_text()
    assert "fused_conv" in (folder / "calls.txt").read_text()
    module = graphopt.load(folder)
    assert module.report.notes == (f"{file} was compiled, and not executed: no GPU of this kind was tried",)
    with pytest.raises(TargetError, match=f"cannot run here: save it, then launch the kernels in its {file}"):
        module(np.zeros((1, 1, 8, 8), np.float32))


def run_on_cpu(source: str, name: str, extents: Mapping[str, int], arrays: Mapping[str, Array], folder: Path) -> None:
    """Run one kernel of CUDA C++ thread by thread."""
    code = source[source.rindex("#endif") :].removeprefix("#endif")
    signature = re.search(rf"\b{name}_kernel\(([^)]*)\)", code)
    assert signature is not None
    names = [parameter.split()[-1].removesuffix("_ptr") for parameter in signature[1].split(",")]
    loops = "".join(
        f"for ({index}.{axis} = 0; {index}.{axis} < {extents.get(f'{index}.{axis}', 1)}; ++{index}.{axis}) "
        for index in ("blockIdx", "threadIdx")
        for axis in "xyz"
    )
    types = [parameter.replace("__restrict__", "").split("*")[0].strip() for parameter in signature[1].split(",")]
    call = ", ".join(f"({kind}*)pointers[{index}]" for index, kind in enumerate(types))
    run = f'extern "C" void run(void** pointers) {{ {loops} {name}_kernel({call}); }}'
    path = folder / f"{name}.cpp"
    path.write_text(f'#include "{Path("tests/cuda_on_cpu.h").resolve()}"\n{code}\n{run}\n')
    library = path.with_suffix(".so")
    subprocess.run(["g++", "-w", "-O1", "-shared", "-fPIC", "-o", str(library), str(path)], check=True)
    pointers = (ctypes.c_void_p * len(names))(*(arrays[one].ctypes.data for one in names))
    ctypes.CDLL(str(library)).run(pointers)


@pytest.mark.parametrize("name", ["digits", *NETWORKS])
def test_our_own_schedules_compute_what_the_kernels_say(name: str, tmp_path: Path) -> None:
    """The CUDA source of each runs on this processor, thread by thread, compared with the unscheduled loops."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    import tvm

    from graphopt.backends.tvm.build import tvm_target
    from graphopt.backends.tvm.gpu.codegen import sources
    from graphopt.backends.tvm.gpu.limits import launch
    from graphopt.backends.tvm.kernels import KERNEL

    machine = tvm_target(parse_target("cuda"))
    before, after = scheduled(models()[name], "cuda")
    plain, random, checked = kernels(before), np.random.default_rng(0), 0
    for one, kernel in kernels(after).items():
        launches = launch(kernel).extents
        symbol = kernel.with_attr("global_symbol", one)
        source = sources(tvm.IRModule({one: symbol}), machine)
        if KERNEL not in str(kernel) or len(launches) != 1 or "__sync" in source or "__shfl" in source:
            continue
        arrays = {
            parameter.name: random.standard_normal(tuple(map(int, parameter.ty.shape))).astype(str(parameter.ty.dtype))
            for parameter in kernel.params
        }
        run_on_cpu(source, one, launches[0], arrays, tmp_path)
        library = tvm.compile(plain[one].with_attr("global_symbol", one), target="llvm")
        tensors = [tvm.runtime.tensor(array) for array in arrays.values()]
        library[one](*tensors)
        np.testing.assert_allclose([*arrays.values()][-1], tensors[-1].numpy(), rtol=1e-4, atol=1e-4)
        checked += 1
    assert checked
