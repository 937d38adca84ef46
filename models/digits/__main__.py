"""Compile the trained digits network, classify real images with it, and compare with onnxruntime.

python -m models.digits
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.numerics import difference
from graphopt.runtime.benchmark import measure_alternating
from graphopt.tensors import Array
from models.digits import MODEL, TEST


def main() -> None:
    """Print what the compiler did, whether the answers are the same, and how long both take."""
    data = np.load(TEST)
    images, labels = data["images"].astype(np.float32), data["labels"]
    module = graphopt.compile(MODEL, target="cpu", shapes={"image": [len(images), 1, 8, 8]})
    reference = Session(Path(MODEL), optimize=False)
    expected = _only(reference.run({"image": images}))
    answers = _only(module(images))

    sizes = module.report.optimization
    table = Table(title="digits: a network trained on real handwriting", show_header=False)
    table.add_row("nodes", f"{sizes['before']['nodes']} → {sizes['after']['nodes']}")
    table.add_row("agreement with onnxruntime", _share(answers.argmax(1) == expected.argmax(1)))
    table.add_row("largest difference", f"{difference('logits', expected, answers).error:.1e} of the scale")
    table.add_row("accuracy", _share(answers.argmax(1) == labels))
    table.add_row("accuracy of onnxruntime", _share(expected.argmax(1) == labels))
    for name, timing in _times(images).items():
        table.add_row(name, f"{timing:.3f} ms")
    Console().print(table)


def _times(images: Array) -> dict[str, float]:
    """Time one image and all of them, both sides in turns with the same number of threads."""
    rows: dict[str, float] = {}
    opponent = Session(Path(MODEL))
    for name, batch in {"one image": images[:1], f"{len(images)} images": images}.items():
        module = graphopt.compile(MODEL, target="cpu", shapes={"image": list(batch.shape)})
        feeds = {"image": batch}
        ours, theirs = measure_alternating([partial(module.run, feeds), partial(opponent.run, feeds)])
        rows[f"{name}, graphopt"] = ours.median
        rows[f"{name}, onnxruntime"] = theirs.median
    return rows


def _only(outputs: dict[str, Array]) -> Array:
    (array,) = outputs.values()
    return array


def _share(hits: npt.NDArray[np.bool_]) -> str:
    return f"{np.count_nonzero(hits)} of {hits.size} ({np.mean(hits):.2%})"


if __name__ == "__main__":
    main()
