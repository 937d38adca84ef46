"""Kernels for GPUs, without one: what they ask for, what CUDA's compilers make of them, what they compute."""

from __future__ import annotations

import ctypes
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.tvm.gpu.cuda_driver import runs_on
from graphopt.backends.tvm.gpu.plan import GpuPlan, Launch
from graphopt.backends.tvm.places import Place, Space
from graphopt.cli.main import build_app
from graphopt.errors import ModelError, TargetError
from graphopt.ir.load import load
from graphopt.numerics import differences
from graphopt.targets import parse_target
from graphopt.tensors import Array
from tests.networks import network

if TYPE_CHECKING:
    from graphopt.backends.tvm.gpu.codegen import GpuKernels, KernelLaunch

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


def generated(name: str, target: str) -> GpuKernels:
    """Return the kernels of a model as they are launched."""
    from graphopt.backends.tvm.build import plan
    from graphopt.backends.tvm.gpu.codegen import generate

    facts = parse_target(target)
    planned, _ = plan(scheduled(models()[name], target)[1], facts)
    return generate(kernels(planned.module), facts)


def kernels(module: object) -> dict[str, object]:
    from tvm import tirx

    return {name.name_hint: f for name, f in module.functions.items() if isinstance(f, tirx.PrimFunc)}


@pytest.mark.parametrize("target", ["cuda", "metal", "opencl", "webgpu"])
@pytest.mark.parametrize("name", ["digits", *NETWORKS])
def test_launches_stay_within_limits(name: str, target: str) -> None:
    facts = parse_target(target)
    for call in generated(name, target).calls.values():
        for launch in call.launches:
            assert 1 <= math.prod(launch.threads) <= facts.threads_per_block
            assert launch.shared_bytes <= facts.shared_bytes
            assert len(launch.arguments) <= facts.kernel_arguments


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"threads": (16, 32, 1)}, "k asks for 512 threads a block, and opencl gives 256"),
        ({"shared_bytes": 1 << 16}, "k asks for 65536 bytes that threads of a block share, and opencl gives 32768"),
        ({"arguments": (Place(Space.ARENA),) * 129}, "k works on 129 tensors, and opencl takes 128"),
    ],
)
def test_a_launch_beyond_what_all_devices_give_is_refused(asked: dict[str, Any], sentence: str) -> None:
    from graphopt.backends.tvm.gpu.limits import check_launches

    launch = Launch(
        **{"kernel": "k", "arguments": (), "blocks": (1, 1, 1), "threads": (1, 1, 1), "shared_bytes": 0} | asked
    )
    with pytest.raises(ValueError, match=sentence):
        check_launches([launch], parse_target("opencl"))


@needs_compiler
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_kernels_become_code_for_the_gpu_that_was_asked_for(arch: str) -> None:
    from graphopt.backends.tvm.gpu.cuda import compile_cuda

    made = generated("digits", f"cuda{{arch={arch}}}")
    ptx = compile_cuda(made.source, arch, "ptx").decode()
    assert re.search(rf"^\.target {arch}\b", ptx, re.MULTILINE)
    entries = set(re.findall(r"\.entry (\w+)", ptx))
    assert {launch.kernel for call in made.calls.values() for launch in call.launches} == entries
    assert "fma.rn.f32" in ptx
    assert ".approx" not in ptx.replace("ex2.approx", "")  # expf itself is made of it


@pytest.mark.parametrize(
    ("outputs", "behind"),
    [("float[1,16,9,9] y", ""), ("float[1,16,9,9] y, float[1,16,9,9] z", "z = Relu (y)")],
)
def test_a_convolution_that_is_an_output_is_summed_in_registers(outputs: str, behind: str) -> None:
    text = f"g (float[1,16,9,9] x) => ({outputs}) <float[16,16,3,3] w> {{ y = Conv <pads=[1,1,1,1]> (x, w) {behind} }}"
    found = str(kernels(scheduled(network(text), "opencl")[1])["conv"])
    assert 'scope="local"' in found
    assert "shared" not in found, "TVM's rules sum across threads"


@needs_compiler
def test_a_gpu_that_the_compiler_does_not_know_is_one_sentence() -> None:
    with pytest.raises(TargetError, match=r"makes no code for sm_999 of the model's kernels: .+; compile for cpu"):
        graphopt.compile(DIGITS, "cuda{arch=sm_999}", cache=False)


@needs_compiler
@pytest.mark.parametrize("target", ["cuda{arch=sm_90}"])
def test_a_program_is_compiled_saved_and_loaded_without_a_gpu(target: str, tmp_path: Path) -> None:
    graphopt.compile(DIGITS, target, cache=False).save(tmp_path / "program")
    module = graphopt.load(tmp_path / "program")
    assert module.manifest.machine is None, "it has no code for a processor"
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
        assert "for a GPU" in str(error) or "NVIDIA's driver" in str(error) or "is for GPUs of" in str(error)  # noqa: PT017
        pytest.skip(f"nothing to execute it: {error}")
    assert differences(graphopt.compile(DIGITS, cache=False)(image), found)[0].error < 1e-5


@pytest.mark.parametrize(
    ("arch", "found", "runs"),
    [
        ("sm_80", (8, 6), True),
        ("sm_86", (8, 0), False),
        ("sm_80", (9, 0), False),
        ("sm_90", (9, 0), True),
        ("sm_100", (10, 3), True),
    ],
)
def test_machine_code_runs_on_later_gpus_of_its_major_number(arch: str, found: tuple[int, int], runs: bool) -> None:
    assert runs_on(arch, *found) is runs


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
        ("metal", "kernels.metal", "kernel void"),
        ("webgpu", "kernels.wgsl", "@compute"),
    ],
)
def test_sources_are_written_and_said_not_to_be_executed(kind: str, file: str, word: str, tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    done = CliRunner().invoke(build_app(), ["compile", str(DIGITS), "-o", str(folder), "--target", kind])
    assert done.exit_code == 0, done.stderr
    assert word in (folder / file).read_text()
    plan = GpuPlan.decode((folder / "kernels.json").read_bytes(), "kernels.json")
    assert all(launch.kernel in (folder / file).read_text() for launch in plan.launches)
    module = graphopt.load(folder)
    assert module.report.notes == (f"{file} was compiled, and not executed: no GPU of this kind was tried",)
    with pytest.raises(TargetError, match=f"cannot run here: save it, then launch the kernels in its {file}"):
        module(np.zeros((1, 1, 8, 8), np.float32))


def run_on_cpu(source: str, launch: KernelLaunch, arrays: Sequence[Array], folder: Path) -> None:
    """Run one kernel of CUDA C++ thread by thread."""
    code = source[source.rindex("#endif") :].removeprefix("#endif")
    signature = re.search(rf"\b{launch.kernel}\(([^)]*)\)", code)
    assert signature is not None
    loops = "".join(
        f"for ({index}.{axis} = 0; {index}.{axis} < {extent}; ++{index}.{axis}) "
        for index, extents in (("blockIdx", launch.blocks), ("threadIdx", launch.threads))
        for axis, extent in zip("xyz", extents, strict=True)
    )
    types = [parameter.replace("__restrict__", "").split("*")[0].strip() for parameter in signature[1].split(",")]
    call = ", ".join(f"({kind}*)pointers[{index}]" for index, kind in enumerate(types))
    run = f'extern "C" void run(void** pointers) {{ {loops} {launch.kernel}({call}); }}'
    path = folder / f"{launch.kernel}.cpp"
    path.write_text(f'#include "{Path("tests/cuda_on_cpu.h").resolve()}"\n{code}\n{run}\n')
    library = path.with_suffix(".so")
    subprocess.run(["g++", "-w", "-O1", "-shared", "-fPIC", "-o", str(library), str(path)], check=True)
    pointers = (ctypes.c_void_p * len(types))(*(arrays[index].ctypes.data for index in launch.arguments))
    ctypes.CDLL(str(library)).run(pointers)


@pytest.mark.parametrize("name", ["digits", *NETWORKS])
def test_our_own_schedules_compute_what_the_kernels_say(name: str, tmp_path: Path) -> None:
    """The CUDA source of each runs on this processor, thread by thread, compared with the unscheduled loops."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    import tvm

    from graphopt.backends.tvm.gpu.codegen import generate
    from graphopt.backends.tvm.kernels import KERNEL

    before, after = scheduled(models()[name], "cuda")
    plain, random, checked = kernels(before), np.random.default_rng(0), 0
    for one, kernel in kernels(after).items():
        made = generate({one: kernel}, parse_target("cuda"))
        launches = made.calls[one].launches
        if KERNEL not in str(kernel) or len(launches) != 1 or "__sync" in made.source or "__shfl" in made.source:
            continue
        arrays = [
            random.standard_normal(tuple(map(int, parameter.ty.shape))).astype(str(parameter.ty.dtype))
            for parameter in kernel.params
        ]
        run_on_cpu(made.source, launches[0], arrays, tmp_path)
        library = tvm.compile(plain[one].with_attr("global_symbol", one), target="llvm")
        tensors = [tvm.runtime.tensor(array) for array in arrays]
        library[one](*tensors)
        np.testing.assert_allclose(arrays[-1], tensors[-1].numpy(), rtol=1e-4, atol=1e-4)
        checked += 1
    assert checked
