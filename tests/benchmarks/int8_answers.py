"""What int8 does to the answers of trained networks: python -m tests.benchmarks.int8_answers [NAME …].

Each network of the shared folder that has data for calibration is quantized on some of these, in the form `x64`
with all defaults or with the `--max-error` that is asked for, and judged on the others in onnxruntime. Prints one
Markdown row a network: for how many images the answer is the same, the error of the scores relative to their norm, the
accuracy before and after, how many of the convolutions onnxruntime computes in integers, how many were spared, the
seconds that quantization took, and for how many images our own program answers as onnxruntime does.

Then the detector of text, whose answers are regions (`tests.benchmarks.text_regions`, extra `bench`): there are 12
scenes, of which it is quantized on the first 4 and judged on the other 8, in the form `x64` by onnxruntime and by our
own program, and in the form `graphopt` by our own program. Prints how many regions there are, and how many are lost and
added.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import reference_session
from graphopt.ir.load import load
from graphopt.tensors import Array
from tests.benchmarks.names import calibrated, chosen
from tests.benchmarks.text_regions import absent, text_regions
from tests.onnxruntime_graph import in_integers
from tests.shared_models import SHARED_MODELS, SharedModel, spread

COLUMNS = "model", "images", "same answer", "error", "accuracy", "in int8", "fused", "spared", "seconds", "as compiled"
CALIBRATED = 200
"""Samples that a network is quantized on at most, spread over all there are."""
DETECTOR = "ppocr_v4_det"
REGIONS = "form", "run by", "scenes", "regions", "lost", "added", "error", "nodes in integers", "spared", "seconds"
SCENES = 4
"""Scenes that the detector is quantized on."""


def main() -> None:
    """Write the tables, row by row as they are measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-error", type=float)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    classifiers = calibrated()
    detectors = {model.name: model for model in SHARED_MODELS if model.name == DETECTOR and model.path.exists()}
    wanted = chosen(arguments.names, [*classifiers, *detectors])
    if not detectors.keys() >= set(wanted):
        write(COLUMNS)
    for name in filter(classifiers.__contains__, wanted):
        write((name, *measure(classifiers[name], arguments.max_error)))
    for name in filter(detectors.__contains__, wanted):
        write(REGIONS)
        for cells in detect(detectors[name], arguments.max_error):
            write(cells)


def write(cells: tuple[str, ...]) -> None:
    """Write one row, and below one of names the line that a table needs."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    if cells in {COLUMNS, REGIONS}:
        sys.stdout.write(f"{'|---' * len(cells)}|\n")
    sys.stdout.flush()


def measure(model: SharedModel, max_error: float | None) -> Iterator[str]:
    """Yield the cells of one row, behind the name."""
    before = load(model.path)
    name = str(before.graph.inputs[0].name)
    feeds = spread([{name: x} for x, _ in (model.calibration or list)()], CALIBRATED)
    start = time.perf_counter()
    quantized, report = graphopt.quantize(before, feeds, "x64", max_error=max_error)
    seconds = time.perf_counter() - start
    samples = list(model.samples())
    labels = np.array([label for _, label in samples])
    images = [{name: x} for x, _ in samples]
    expected, actual = (scores(each, images) for each in (before, quantized))
    ours = our_scores(quantized, images)
    integers, floats = in_integers(ir.to_proto(quantized))
    yield str(len(images))
    yield f"{(expected.argmax(1) == actual.argmax(1)).mean():.2%}"
    yield error(expected, actual)
    yield f"{(expected.argmax(1) == labels).mean():.2%}"
    yield f"{(actual.argmax(1) == labels).mean():.2%}"
    yield f"{integers['Conv']} of {integers['Conv'] + floats['Conv']}"
    yield str(len(report.spared))
    yield f"{seconds:.0f}"
    yield f"{(ours.argmax(1) == actual.argmax(1)).mean():.2%}"


def detect(model: SharedModel, max_error: float | None) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the detector."""
    before = load(model.path, shapes={"x": model.shape})
    scenes = [{"x": x} for x, _ in model.samples()]
    images = scenes[SCENES:]
    expected = scores(before, images)
    for form in ("x64", "graphopt"):
        start = time.perf_counter()
        quantized, report = graphopt.quantize(before, scenes[:SCENES], form, max_error=max_error)
        cost = (
            f"{report.integers} of {report.integers + len(report.floats)}",
            str(len(report.spared)),
            f"{time.perf_counter() - start:.0f}",
        )
        if form == "x64":
            yield form, "onnxruntime", *regions(expected, scores(quantized, images)), *cost
        yield form, "graphopt", *regions(expected, our_scores(quantized, images)), *cost


def regions(expected: Array, actual: Array) -> Iterator[str]:
    """Yield what becomes of the regions in maps, [scenes, 1, rows, columns]."""
    pairs = [(text_regions(right[0]), text_regions(made[0])) for right, made in zip(expected, actual, strict=True)]
    yield str(len(pairs))
    yield str(sum(len(right) for right, _ in pairs))
    yield str(sum(len(absent(right, made)) for right, made in pairs))
    yield str(sum(len(absent(made, right)) for right, made in pairs))
    yield error(expected, actual)


def error(expected: Array, actual: Array) -> str:
    """Return how large the difference is, relative to the norm."""
    return f"{np.linalg.norm(actual - expected) / np.linalg.norm(expected):.3f}"


def scores(model: ir.Model, images: list[dict[str, Array]]) -> Array:
    """Return what onnxruntime makes of images, a row each."""
    session = reference_session(model, optimize=True)
    return np.concatenate([next(iter(session.run(feeds).values())) for feeds in images])


def our_scores(model: ir.Model, images: list[dict[str, Array]]) -> Array:
    """Return what our own program makes of images, a row each."""
    compiled = graphopt.compile(model, cache=False)
    return np.concatenate([next(iter(compiled(feeds).values())) for feeds in images])


if __name__ == "__main__":
    main()
