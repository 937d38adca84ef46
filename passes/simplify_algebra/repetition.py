"""Unary operators that undo themselves or each other, or that have nothing left to do.

All are exact but for two liberties. The sign of a zero is not kept (Abs of a Relu that gives -0). And
1 / (1/x) = x holds where 1/x neither overflows nor underflows; elsewhere, and in the last digit, x is the
better answer.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, either, op, var
from graphopt.rewrite.pattern import Either, Op
from passes.simplify_algebra.values import Condition, is_float, is_non_negative, made_by, source

_INVOLUTIONS = ("BitwiseNot", "Neg", "Not", "Reciprocal")
_IDEMPOTENT = ("Abs", "Sign")
_TO_INTEGERS = ("Ceil", "Floor", "Round")
_is_rounded = made_by(*_TO_INTEGERS, "Sign")


def _on(condition: Condition, *op_types: str) -> Op:
    return op(*op_types)(var("x", condition))


class Involution(Rule):
    """f(f(x)) = x for f of Neg, Not, BitwiseNot and Reciprocal; in integers too, where -(-min) = min."""

    pattern: ClassVar[Either] = either(*(_on(made_by(op_type), op_type) for op_type in _INVOLUTIONS))

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Go back to what the inner one was given."""
        return source(match["x"])


class Idempotence(Rule):
    """f(f(x)) = f(x) for f of Abs and Sign; and a whole number, or an infinity, rounds to itself."""

    pattern: ClassVar[Either] = either(
        *(_on(made_by(op_type), op_type) for op_type in _IDEMPOTENT),
        _on(lambda value: _is_rounded(value) or _was_integer(value), *_TO_INTEGERS),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Leave the inner one."""
        return match["x"]


class NonNegative(Rule):
    """|x| = x and max(x, 0) = x where x ≥ 0 or x is NaN."""

    pattern: ClassVar[Op] = _on(is_non_negative, "Abs", "Relu")

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Leave what is not negative anyway."""
        return match["x"]


class AbsOfNegation(Rule):
    """|-x| = |x|, in floating point; the smallest integer has no opposite, but both sides give it back."""

    pattern: ClassVar[Op] = _on(made_by("Abs", "Neg"), "Abs")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Take the magnitude of what was negated."""
        return build.like(match.root, [source(match["x"])])


class SquareOfRoot(Rule):
    """√x · √x = x where x ≥ 0 or x is NaN; the last digit differs, in favour of x."""

    pattern: ClassVar[Op] = op.Mul(op.Sqrt(var("x", is_non_negative), name="root"), op.Sqrt(var("x"), name="root"))

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Go back to what the root was taken of."""
        return match["x"]


def _was_integer(value: ir.Value) -> bool:
    """Whether a value is cast from integers: rounding in the cast gives whole numbers too, or an infinity."""
    if not made_by("Cast")(value) or not is_float(value):
        return False
    dtype = source(value).dtype
    return dtype is not None and (dtype.is_integer() or dtype is ir.DataType.BOOL)
