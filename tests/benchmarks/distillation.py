"""What distillation wins back: python -m tests.benchmarks.distillation [--recipe TEXT] [--limit N] [STUDENT …].

ResNet-20 for CIFAR-10 from the shared folder teaches what was made of it without data, on the calibration images and
without their labels: `narrow`, without the 30 % of each group's channels that weigh least, and `int4`, with weights of
four bits. Judged on the other images, in onnxruntime. Prints one Markdown row a student: the share of the same answers
and the accuracy before and after, the seconds, and those of one epoch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import reference_session
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Channel
from graphopt.coupling.shrink import shrink
from graphopt.tensors import Array
from tests.benchmarks.names import opened
from tests.shared_models import SharedModel

COLUMNS = "student", "same answer", "after", "accuracy of the teacher", "before", "after", "seconds", "an epoch"
LEAVING = 0.3
"""The share of a group's channels."""


def main(arguments: argparse.Namespace) -> None:
    """Write the table, row by row as it is measured."""
    shared = opened("cifar_resnet20")
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    teacher = graphopt.optimize(shared.path).model
    for name in arguments.students or STUDENTS:
        cells = measure(shared, teacher, STUDENTS[name](teacher), arguments)
        sys.stdout.write(f"| {' | '.join((name, *cells))} |\n")
        sys.stdout.flush()


def narrow(teacher: ir.Model) -> ir.Model:
    """Return the model without the channels of the least L1 norm, all that leaves with one counted."""
    model = teacher.clone()
    coupling = couple(model)
    constants = {name: value.const_value for name, value in model.graph.initializers.items()}

    def norm(channel: Channel) -> float:
        tensors = ((constants.get(name), axis, indices) for (name, axis), indices in channel.places.items())
        return sum(float(np.abs(one.numpy().take(indices, axis)).sum()) for one, axis, indices in tensors if one)

    removal = {}
    for group in coupling.groups:
        order = np.argsort([norm(channel) for channel in group.channels])
        removal[group.name] = order[: int(LEAVING * len(order))].tolist()
    shrink(model, coupling, removal)
    return model


def int4(teacher: ir.Model) -> ir.Model:
    """Return the model with weights of four bits, rounded to the nearest."""
    return graphopt.quantize(teacher, target="weights-int4").model


STUDENTS: Mapping[str, Callable[[ir.Model], ir.Model]] = {"narrow": narrow, "int4": int4}


def measure(shared: SharedModel, teacher: ir.Model, student: ir.Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the cells of one row, behind the name."""
    assert shared.calibration is not None
    images = np.concatenate([x for x, _ in shared.calibration()])
    result = graphopt.distill(teacher, student, {"image": images}, arguments.recipe, limit=arguments.limit)
    samples = list(shared.samples())
    judged, labels = np.concatenate([x for x, _ in samples]), np.array([label for _, label in samples])
    told, before, after = (answers(model, judged) for model in (teacher, student, result.model))
    yield f"{(before == told).mean():.2%}"
    yield f"{(after == told).mean():.2%}"
    for found in (told, before, after):
        yield f"{(found == labels).mean():.2%}"
    yield f"{result.report.seconds:.0f}"
    yield f"{result.report.history.seconds / max(len(result.report.history.epochs) - 1, 1):.1f}"


def answers(model: ir.Model, images: Array) -> Array:
    """Return the best class of each image."""
    (scores,) = reference_session(model, optimize=True).run({"image": images}).values()
    return scores.argmax(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="*", choices=[*STUDENTS, []])
    parser.add_argument("--recipe", default="distill")
    parser.add_argument("--limit", type=int)
    main(parser.parse_args())
