"""Sums and differences of multiples of one value.

The sum of the factors is taken in float64 and rounded once. Where it cancels, the result has more correct
digits than the sum of the products; what overflowed in between no longer does.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Refused, Rule, const, either, op, var
from graphopt.rewrite.affine import Float64
from graphopt.rewrite.pattern import Either, Pattern
from passes.simplify_algebra.values import holds_floats, is_float


def _multiple(name: str) -> Pattern:
    """Match x·c, x/c and -x."""
    x, c = var("x", is_float), const(name, holds_floats)
    return either(op.Mul(x, c), op.Div(x, c), op.Neg(x))


class SumOfMultiples(Rule):
    """x·a + x·b = x·(a + b), x·a - x·b = x·(a - b), x + x·b = x·(1 + b) and their kin."""

    pattern: ClassVar[Either] = either(
        op("Add", "Sub")(_multiple("a"), _multiple("b")),
        op("Add", "Sub")(var("x", is_float), _multiple("b")),
        op.Sub(_multiple("a"), var("x", is_float)),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse factors that widen x."""
        x = match["x"]
        factors = [match[name] for name in ("a", "b") if name in match]
        wide = next((c for c in factors if not broadcasts_into(c, x)), None)
        return f"{wide.name!r} may broadcast {x.name!r} to another shape" if wide is not None else None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Multiply once."""
        left, right = (_factor(value, match["x"]) for value in match.root.inputs)
        factor = left + right if match.root.op_type == "Add" else left - right
        if factor.size > max(left.size, right.size):
            raise Refused("the new scale would be larger than those it is made of")
        if not factor.all():
            raise Refused("the factors cancel, which makes zero of what is not finite")
        return build.op("Mul", match["x"], build.constant("scale", factor, match["x"].dtype))


def _factor(value: ir.Value | None, x: ir.Value) -> Float64:
    """Return what an operand of the sum multiplies x by."""
    node = None if value is None or value is x else value.producer()
    if node is None:
        return np.array(1.0)
    factors = [c.astype(np.float64) for c in map(constant, node.inputs) if c is not None]
    if not factors:
        return np.array(-1.0)
    return factors[0] if node.op_type == "Mul" else 1 / factors[0]
