"""One pass of a model over the data, with observers on the values that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import onnx_ir as ir

from graphopt.calibration.statistics import Statistics
from graphopt.tensors import Feeds

Progress = Callable[[int], None]
"""Told, after each batch, how many samples are done."""


def collect(
    model: ir.Model,
    samples: Iterable[Feeds],
    values: Collection[str],
    grams: Collection[str] = (),
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> Statistics:
    """Run a model on data and observe values of its main graph; the model stays as it is.

    Args:
        model: is executed as it is written.
        samples: feeds that the model takes, samples along the leading axis: `Samples`, or any other.
        values: names of inputs and of outputs of nodes to make histograms of.
        grams: names of the first outputs of the Conv, Gemm and MatMul nodes to make Gram matrices for.
        threads: of onnxruntime; 0 means as many as this process may run on.
        progress: told how many samples are done.

    """
    raise NotImplementedError
