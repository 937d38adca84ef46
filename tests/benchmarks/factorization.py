"""Low rank on trained networks: python -m tests.benchmarks.factorization [NAME …] [--macs=-30%] [--recover distill].

Each network of the shared folder that has data for calibration is factored on these, without labels, and judged on the
others in onnxruntime. Prints one Markdown row a network and recovery: the share of multiply-adds and bytes that is
left, the accuracy before and after, for how many images the answer is the same, the error of the scores relative to
their norm, how many layers became which form, and the seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import reference_session
from graphopt.compiler.factorization_report import FactorizationReport
from graphopt.ir.load import load
from graphopt.tensors import Array
from tests.benchmarks.names import calibrated, chosen
from tests.shared_models import SharedModel

COLUMNS = (
    *("model", "recovery", "multiply-adds", "bytes", "accuracy", "becomes", "same answer", "error"),
    *("forms", "seconds"),
)
DEFAULTS = ("cifar_resnet20",)
RECOVERIES = ("none", "least-squares", "distill")


def main(arguments: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=DEFAULTS)
    parser.add_argument("--macs", default="-30%")
    parser.add_argument("--recover", choices=RECOVERIES, action="append")
    parser.add_argument("--recipe", default="distill")
    parser.add_argument("--forms", default="")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args(arguments)
    known = calibrated()
    wanted = chosen(asked.names, known)
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    for model in (known[name] for name in wanted):
        for recovery in asked.recover or RECOVERIES:
            sys.stdout.write(f"| {' | '.join((model.name, recovery, *measure(model, recovery, asked)))} |\n")
            sys.stdout.flush()


def measure(model: SharedModel, recovery: str, asked: argparse.Namespace) -> Iterator[str]:
    """Yield the cells of one row, behind the name and the recovery."""
    before = load(model.path)
    name = str(before.graph.inputs[0].name)
    calibration = np.concatenate([x for x, _ in model.calibration() or ()])
    start = time.perf_counter()
    factored, report = graphopt.factorize(
        before,
        {name: calibration},
        macs=asked.macs,
        forms=tuple(filter(None, asked.forms.split(","))),
        recover=recovery,
        recipe=asked.recipe,
        threads=asked.threads,
    )
    seconds = time.perf_counter() - start
    samples = list(model.samples())
    labels = np.array([label for _, label in samples])
    expected, actual = (scores(each, [x for x, _ in samples]) for each in (before, factored))
    yield f"{report.after.macs / report.before.macs:.1%}"
    yield f"{report.after.bytes / report.before.bytes:.1%}"
    yield f"{(expected.argmax(1) == labels).mean():.2%}"
    yield f"{(actual.argmax(1) == labels).mean():.2%}"
    yield f"{(expected.argmax(1) == actual.argmax(1)).mean():.2%}"
    yield f"{np.linalg.norm(actual - expected) / np.linalg.norm(expected):.3f}"
    yield formed(report)
    yield f"{seconds:.0f}"


def formed(report: FactorizationReport) -> str:
    """Count the forms that layers took."""
    found = Counter(layer.form.partition(" ")[0] for layer in report.layers)
    return ", ".join(f"{count} {form}" for form, count in found.most_common())


def scores(model: ir.Model, images: list[Array]) -> Array:
    """Return what onnxruntime makes of images, a row each."""
    session = reference_session(model, optimize=True)
    name = session.inputs[0].name
    return np.concatenate([next(iter(session.run({name: x}).values())) for x in images])


if __name__ == "__main__":
    main(sys.argv[1:])
