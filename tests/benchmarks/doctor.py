"""What mending a quantized file gains: python -m tests.benchmarks.doctor [FILE …].

Without files, EfficientNet-Lite0 of the shared data is quantized and then written as NNCF, ModelOpt and Quark write
theirs; the folder is the one that GRAPHOPT_SHARED names. Prints one Markdown row a file: how many convolutions
onnxruntime fuses before and after, its latency on one thread, medians of turns that alternate, and how far the answers
lie apart on random input, beside how far those of the slow file do with onnxruntime's optimizations and without.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import random_feeds, reference_session
from graphopt.backends.ort.session import Session
from graphopt.compiler.mend import mend
from graphopt.compiler.optimize import optimize
from graphopt.compiler.quantize import quantize
from graphopt.ir.load import load
from graphopt.tensors import Array
from tests.benchmarks.names import opened
from tests.benchmarks.slow_networks import FORMS, write_slowly
from tests.shared_models import SHARED

_TURNS = 31
_IMAGES = 20
_PREPROCESSING = "preprocess{crop=224 scale=1/255 mean=.5,.5,.5 std=.5,.5,.5}"
_HEADS = "| file | fused | after | ms | after | times as fast | answers apart | by optimizations alone |"


def main(paths: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    models = map(_read, paths) if paths else _shared(opened("efficientnet_lite0").path)
    sys.stdout.write(f"{_HEADS}\n|---|---|---|---|---|---|---|---|\n")
    for name, model in models:
        sys.stdout.write(f"| {name} | {' | '.join(measure(model))} |\n")
        sys.stdout.flush()


def measure(model: ir.Model) -> Iterator[str]:
    """Yield the cells of one file."""
    treatment = mend(model)
    for diagnosis in (treatment.before, treatment.after):
        done, count = diagnosis.counts().get("convolutions", (0, 0))
        yield f"{done} of {count}"
    feeds = random_feeds(model)
    slow, fast = (reference_session(one, threads=1, optimize=True) for one in (model, treatment.model))
    before, after = latencies([slow, fast], feeds)
    yield from (f"{before:.2f}", f"{after:.2f}", f"{before / after:.1f}")
    reference = reference_session(model, threads=1).run(feeds)
    yield f"{distance(reference, fast.run(feeds)):.3f}"
    yield f"{distance(reference, slow.run(feeds)):.3f}"


def latencies(sessions: list[Session], feeds: dict[str, Array]) -> list[float]:
    """Return the median of each session in milliseconds; they take turns, and each first run is not counted."""
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(_TURNS):
        for session, taken in zip(sessions, times, strict=True):
            session.run(feeds)
            start = time.perf_counter()
            session.run(feeds)
            taken.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(taken) for taken in times]


def distance(expected: dict[str, Array], actual: dict[str, Array]) -> float:
    """Return the length of the difference over that of the answer."""
    left, right = (np.concatenate([part.ravel() for part in parts.values()]) for parts in (expected, actual))
    return float(np.linalg.norm(left.astype(np.float64) - right) / np.linalg.norm(left.astype(np.float64)))


def _read(path: str) -> tuple[str, ir.Model]:
    return Path(path).name, load(path)


def _shared(path: Path) -> Iterator[tuple[str, ir.Model]]:
    images = SHARED / "data" / "imagenet" / "calibration"
    _, report = quantize(path, images, method="minmax", preprocessing=_PREPROCESSING, limit=_IMAGES)
    for name, form in FORMS.items():
        model, _ = optimize(path, report.pipeline)
        write_slowly(model, report.plan, form)
        yield name, model


if __name__ == "__main__":
    main(sys.argv[1:])
