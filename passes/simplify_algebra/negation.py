"""Moving a negation into the sum, difference or product beside it.

Exact in floating point, since rounding is symmetric, and in integers, which wrap; the sign of a zero result
is not kept: -(x - x) is -0, x - x is 0.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Rule, const, either, op, scalar, var
from graphopt.rewrite.pattern import Either, Op
from passes.simplify_algebra.values import is_float


class AddNegated(Rule):
    """x + (-y) = x - y."""

    pattern: ClassVar[Op] = op.Add(op.Neg(var("y")), var("x"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Subtract what was negated."""
        return build.op("Sub", match["x"], match["y"])


class SubtractNegated(Rule):
    """x - (-y) = x + y."""

    pattern: ClassVar[Op] = op.Sub(var("x"), op.Neg(var("y")))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add what was negated."""
        return build.op("Add", match["x"], match["y"])


class NegatedDifference(Rule):
    """-(x - y) = y - x."""

    pattern: ClassVar[Op] = op.Neg(op.Sub(var("x"), var("y"), name="difference"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Exchange the operands."""
        return build.op("Sub", match["y"], match["x"])


class NegatedTwice(Rule):
    """(-x) · (-y) = x · y, and (-x) / (-y) = x / y in floating point."""

    pattern: ClassVar[Either] = either(
        op.Mul(op.Neg(var("x")), op.Neg(var("y"))),
        op.Div(op.Neg(var("x", is_float)), op.Neg(var("y"))),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Repeat the operator on what was negated."""
        return build.like(match.root, [match["x"], match["y"]])


class NegatedByConstant(Rule):
    """x · -1 = x / -1 = 0 - x = -x, in the signed types that Neg takes, where the constant does not widen x."""

    pattern: ClassVar[Either] = either(
        op.Mul(scalar(-1, "c"), var("x")),
        op.Div(var("x"), scalar(-1, "c")),
        op.Sub(const("c", lambda array: array.dtype.kind != "u" and not array.any()), var("x")),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a constant that may give the result another shape."""
        c, x = match["c"], match["x"]
        return None if broadcasts_into(c, x) else f"{c.name!r} may broadcast {x.name!r} to another shape"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Negate."""
        return build.op("Neg", match["x"])
