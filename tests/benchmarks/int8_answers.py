"""What int8 does to the answers of trained networks: python -m tests.benchmarks.int8_answers [NAME …].

Each network of the shared folder that has data for calibration is quantized on the first of these, in the form `x64`
with all defaults, and judged on the others in onnxruntime. Prints one Markdown row a network: for how many images the
answer is the same, the error of the scores relative to their norm, the accuracy before and after, how many of the
convolutions onnxruntime computes in integers, the seconds that quantization took, and for how many images our own
program answers as onnxruntime does.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import reference_session
from graphopt.ir.load import load
from graphopt.tensors import Array
from tests.onnxruntime_graph import in_integers
from tests.shared_models import SHARED_MODELS, Sample, SharedModel

COLUMNS = "model", "images", "same answer", "error", "accuracy", "in int8", "convolutions", "seconds", "as compiled"
CALIBRATED = 200
"""Samples that a network is quantized on at most."""


def main(names: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    for model in SHARED_MODELS:
        if model.calibration is not None and model.path.exists() and (not names or model.name in names):
            sys.stdout.write(f"| {' | '.join((model.name, *measure(model, model.calibration())))} |\n")
            sys.stdout.flush()


def measure(model: SharedModel, calibration: Iterator[Sample]) -> Iterator[str]:
    """Yield the cells of one row, behind the name."""
    before = load(model.path)
    name = str(before.graph.inputs[0].name)
    feeds = [{name: x} for x, _ in itertools.islice(calibration, CALIBRATED)]
    start = time.perf_counter()
    quantized, _ = graphopt.quantize(before, feeds, "x64")
    seconds = time.perf_counter() - start
    samples = list(model.samples())
    labels = np.array([label for _, label in samples])
    images = [{name: x} for x, _ in samples]
    expected, actual = (scores(each, images) for each in (before, quantized))
    compiled = graphopt.compile(quantized, cache=False)
    ours = np.concatenate([next(iter(compiled(feeds).values())) for feeds in images])
    integers, floats = in_integers(ir.to_proto(quantized))
    yield str(len(images))
    yield f"{(expected.argmax(1) == actual.argmax(1)).mean():.2%}"
    yield f"{np.linalg.norm(actual - expected) / np.linalg.norm(expected):.3f}"
    yield f"{(expected.argmax(1) == labels).mean():.2%}"
    yield f"{(actual.argmax(1) == labels).mean():.2%}"
    yield f"{integers['Conv']} of {integers['Conv'] + floats['Conv']}"
    yield f"{seconds:.0f}"
    yield f"{(ours.argmax(1) == actual.argmax(1)).mean():.2%}"


def scores(model: ir.Model, images: list[dict[str, Array]]) -> Array:
    """Return what onnxruntime makes of images, a row each."""
    session = reference_session(model, optimize=True)
    return np.concatenate([next(iter(session.run(feeds).values())) for feeds in images])


if __name__ == "__main__":
    main(sys.argv[1:])
