"""Between which numbers the readers of a value tell one from another.

A HardSwish makes 0 of all that lies below -3: integers spent on it are lost to what lies above.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import is_op

Bounds = tuple[float, float]

EVERYTHING: Bounds = (-np.inf, np.inf)


def audible(value: ir.Value) -> Bounds:
    """Return the bounds: what lies beyond is to all readers as good as the bound.

    Those of HardSigmoid, of HardSwish, and of the product of a value and its HardSigmoid (ONNX operator spec,
    HardSigmoid-6, HardSwish-14).
    """
    if value.is_graph_output() or not value.uses():
        return EVERYTHING
    gates = [reader for reader in value.consumers() if is_op(reader, "HardSigmoid")]
    lows, highs = zip(*(_by(reader, value, gates) for reader in value.consumers()), strict=True)
    return min(lows), max(highs)


def _by(reader: ir.Node, value: ir.Value, gates: list[ir.Node]) -> Bounds:
    if is_op(reader, "HardSwish"):
        return -3.0, np.inf
    if is_op(reader, "HardSigmoid"):
        return _slope(reader)
    others = [operand for operand in reader.inputs if operand is not value]
    if is_op(reader, "Mul") and len(others) == 1 and others[0] is not None and others[0].producer() in gates:
        return _slope(others[0].producer())[0], np.inf
    return EVERYTHING


def _slope(gate: ir.Node | None) -> Bounds:
    """Return where max(0, min(1, alpha · x + beta)) is neither 0 nor 1, for a positive alpha."""
    if gate is None:
        return EVERYTHING
    alpha, beta = gate.attributes.get_float("alpha", 0.2), gate.attributes.get_float("beta", 0.5)
    return (-beta / alpha, (1 - beta) / alpha) if alpha > 0 else EVERYTHING
