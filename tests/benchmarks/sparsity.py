"""What zeros and few values do to trained networks, without labels: python -m tests.benchmarks.sparsity [NAME …].

Each network of the shared folder that has data for calibration, or those named, is made sparse and shared on these
data, and judged on the others, all in onnxruntime. Prints one Markdown row a way to do it: for how many images the
answer is the same, the accuracy before and after and their difference in points, which share of the weights is zero,
the bytes of the optimized file before and after, and the seconds that it took. Files hold weights compactly; a run
takes as long as before.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import reference_session
from graphopt.ir.save import save
from graphopt.quantization.weights import weights_of
from graphopt.tensors import Array
from tests.benchmarks.names import calibrated, chosen
from tests.shared_models import SharedModel, spread

COLUMNS = "model", "what", "images", "same answer", "accuracy", "after", "points", "zeros", "MB", "after", "seconds"
CALIBRATED = 2000
"""Samples that a network is compressed on at most, spread over all there are."""

RECIPE = "distill{epochs=8 rate=0.001 weight-decay=0 loss=mse augment=flip}"
"""How networks are trained where they are: the default, and pictures flipped too."""

Feeds = dict[str, Array]
Compress = Callable[[Path, list[Feeds]], ir.Model]


def sparse(**how: Any) -> Compress:
    """Return what makes a network sparse."""
    return lambda path, data: graphopt.sparsify(path, data, **how).model


def shared(**how: Any) -> Compress:
    """Return what makes a network share weights."""
    return lambda path, data: graphopt.share(path, data, **how).model


def both(path: Path, data: list[Feeds]) -> ir.Model:
    """Make a network sparse, and let what is left share values."""
    half = graphopt.sparsify(path, data, fraction=0.5, storage="dense").model
    return graphopt.share(half, data).model


WAYS: dict[str, Compress] = {
    "50 % by magnitude, no data": lambda path, _: graphopt.sparsify(path, fraction=0.5).model,
    "50 %, as eliminated": sparse(fraction=0.5, recover="none"),
    "50 %": sparse(fraction=0.5),
    "50 %, distilled": sparse(fraction=0.5, recover="distill", recipe=RECIPE),
    "2:4, as eliminated": sparse(pattern="2:4", recover="none"),
    "2:4": sparse(pattern="2:4"),
    "2:4, distilled": sparse(pattern="2:4", recover="distill", recipe=RECIPE),
    "16 values, no data": lambda path, _: graphopt.share(path).model,
    "16 values": shared(),
    "16 values a row": shared(per="row"),
    "50 % and 16 values": both,
}


def main(names: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    known = calibrated()
    wanted = chosen(names, known)
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    for name in wanted:
        for row in rows(known[name]):
            sys.stdout.write(f"| {' | '.join((name, *row))} |\n")
            sys.stdout.flush()


def rows(model: SharedModel) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each row, behind the name."""
    before, _ = graphopt.optimize(model.path)
    name = str(before.graph.inputs[0].name)
    data = spread([{name: x} for x, _ in (model.calibration or list)()], CALIBRATED)
    samples = list(model.samples())
    labels, images = np.array([label for _, label in samples]), [{name: x} for x, _ in samples]
    expected = answers(before, images)
    for what, compress in WAYS.items():
        start = time.perf_counter()
        changed = compress(model.path, data)
        seconds = time.perf_counter() - start
        actual = answers(changed, images)
        right = [float((scores == labels).mean()) for scores in (expected, actual)]
        yield (
            what,
            str(len(images)),
            f"{(actual == expected).mean():.2%}",
            *(f"{share:.2%}" for share in right),
            f"{100 * (right[1] - right[0]):+.2f}",
            f"{zeros(changed):.1%}",
            *(f"{file_size(one) / 1e6:.2f}" for one in (before, changed)),
            f"{seconds:.0f}",
        )


def answers(model: ir.Model, images: list[Feeds]) -> Array:
    """Return the class of each image."""
    session = reference_session(model, optimize=True)
    return np.concatenate([next(iter(session.run(feeds).values())).argmax(1) for feeds in images])


def zeros(model: ir.Model) -> float:
    """Return the share of zeros among the weights of layers."""
    dense, _ = graphopt.optimize(model, "fold-constants")
    arrays = [weight.array for weight in weights_of(dense)]
    return sum(int((array == 0).sum()) for array in arrays) / sum(array.size for array in arrays)


def file_size(model: ir.Model) -> int:
    """Return the bytes of a model's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        return path.stat().st_size


if __name__ == "__main__":
    main(sys.argv[1:])
