"""Relu and Clip in front of integers: which of them saturation does anyway."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.quantization.affine import Affine
from graphopt.quantization.obstacles import clamp_of


def absorbed(clamp: ir.Node, affine: Affine) -> bool:
    """Whether a Relu or Clip changes no integer: nothing beyond its bounds has one of its own, in any channel."""
    bounds = clamp_of(clamp)
    if bounds is None:
        return False
    least, greatest = affine.limits
    lower, upper = (_integer(bound, affine) for bound in bounds)
    return bool((lower <= least).all() and (upper >= greatest).all())


def sole_reader(value: ir.Value) -> ir.Node | None:
    """Return the node that alone reads a value, once and in its own graph, or None; an output has a reader more."""
    uses = list(value.uses())
    producer = value.producer()
    if len(uses) != 1 or value.is_graph_output():
        return None
    reader, _ = uses[0]
    return reader if producer is None or reader.graph is producer.graph else None


def _integer(bound: float, affine: Affine) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return what a number becomes before it saturates."""
    steps = np.rint(np.float32(bound) / affine.scale).astype(np.float64)
    return np.asarray(steps + affine.zero_point.astype(np.float64))
