"""Booleans and bits, exact in every case.

Not of a comparison is the opposite one in integers only: of two numbers of which one is NaN, neither is less.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Rule, either, op, scalar, since, var
from graphopt.rewrite.pattern import Either, Op
from passes.simplify_algebra.values import made_by, source

_OPPOSITE = {"Less": "GreaterOrEqual", "Greater": "LessOrEqual", "LessOrEqual": "Greater", "GreaterOrEqual": "Less"}


def _is_integer(value: ir.Value) -> bool:
    return value.dtype in {ir.DataType.INT32, ir.DataType.INT64}


class SameOperands(Rule):
    """x ∘ x = x for ∘ of And, Or, BitwiseAnd, BitwiseOr, Max and Min."""

    pattern: ClassVar[Op] = op("And", "BitwiseAnd", "BitwiseOr", "Max", "Min", "Or")(var("x"), var("x"))

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Leave the operand."""
        return match["x"]


class XorTrue(Rule):
    """x ⊻ true = ¬x, where the constant does not widen x."""

    pattern: ClassVar[Op] = op.Xor(scalar(True, "true"), var("x"))

    def refuse(self, match: Match) -> str | None:
        """Refuse a constant that may give the result another shape."""
        true, x = match["true"], match["x"]
        return None if broadcasts_into(true, x) else f"{true.name!r} may broadcast {x.name!r} to another shape"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Negate."""
        return build.op("Not", match["x"])


class DeMorgan(Rule):
    """¬x ∧ ¬y = ¬(x ∨ y) and ¬x ∨ ¬y = ¬(x ∧ y)."""

    pattern: ClassVar[Either] = either(op("And", "Or")(op.Not(var("x")), op.Not(var("y")), name="root"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Negate once."""
        dual = "Or" if match.node("root").op_type == "And" else "And"
        return build.op("Not", build.op(dual, match["x"], match["y"]))


class ExclusiveOfNegations(Rule):
    """¬x ⊻ ¬y = x ⊻ y; and so for Equal."""

    pattern: ClassVar[Op] = op("Equal", "Xor")(var("x", made_by("Not")), var("y", made_by("Not")))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Compare what was negated."""
        return build.like(match.root, [source(match["x"]), source(match["y"])])


class NotOfComparison(Rule):
    """¬(x < y) = x ≥ y and its kin, in integers."""

    opsets: ClassVar[range] = since(12)
    pattern: ClassVar[Op] = op.Not(op(*_OPPOSITE)(var("x", _is_integer), var("y"), name="comparison"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Use the opposite comparison."""
        return build.op(_OPPOSITE[match.node("comparison").op_type], match["x"], match["y"])


class WhereNot(Rule):
    """where(¬c, x, y) = where(c, y, x)."""

    pattern: ClassVar[Op] = op.Where(var("condition", made_by("Not")), var("x"), var("y"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Exchange the branches."""
        return build.op("Where", source(match["condition"]), match["y"], match["x"])
