"""A negated factor or operand, absorbed by what reads the product or the extremum.

Exact, since rounding is symmetric; the sign of a zero is not kept. In floating point only: the smallest integer
has no opposite, and integers that wrap have no order.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, either, op, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.simplify_algebra.values import holds_floats, is_float, made_by, shaped_like, source


def read_by_sign(negated: Pattern) -> Either:
    """Match what can absorb the sign of a value: -v, |v|, v·c, v + z and z - v."""
    return either(
        op("Neg", "Abs")(negated),
        op.Mul(negated, const("absorber", holds_floats)),
        op.Add(negated, var("z")),
        op.Sub(var("z"), negated),
    )


def absorbed(match: Match, build: Builder, opposite: ir.Value) -> ir.Value:
    """Write what `read_by_sign` matched, on the opposite of the value."""
    match match.root.op_type:
        case "Neg":
            return opposite
        case "Abs":
            return build.op("Abs", opposite)
        case "Mul":
            c = build.constant("scale", np.negative(match.constant("absorber")), match.dtype("absorber"))
            return build.op("Mul", opposite, c)
        case "Add":
            return build.op("Sub", match["z"], opposite)
        case _:
            return build.op("Add", match["z"], opposite)


class NegatedFactor(Rule):
    """-((-x)·y) = x·y, |(-x)·y| = |x·y|, (-x)·y + z = z - x·y, z - (-x)·y = z + x·y, (-x)·y·c = x·y·(-c).

    And so for quotients.
    """

    pattern: ClassVar[Either] = read_by_sign(
        either(
            op("Mul", "Div")(op.Neg(var("x", is_float)), var("y"), name="product"),
            op.Div(var("x"), op.Neg(var("y", is_float)), name="product"),
        )
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Multiply what was negated."""
        return absorbed(match, build, build.like(match.node("product"), [match["x"], match["y"]]))


class SquareOfMagnitude(Rule):
    """(-x)·(-x) = |x|·|x| = x·x, whoever else reads -x or |x|; in integers too."""

    pattern: ClassVar[Op] = op.Mul(var("y", made_by("Abs", "Neg")), var("y"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Square what has any sign."""
        x = source(match["y"])
        return build.like(match.root, [x, x])


class ExtremumOfNegations(Rule):
    """max(-x, -y) = -min(x, y), min(-x, -y) = -max(x, y), in floating point."""

    pattern: ClassVar[Either] = either(op("Max", "Min")(op.Neg(var("x", is_float)), op.Neg(var("y"))))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Negate once."""
        dual = "Min" if match.root.op_type == "Max" else "Max"
        extremum = shaped_like(build.op(dual, match["x"], match["y"]), match.root.outputs[0])
        return build.op("Neg", extremum)


class LargerOfOpposites(Rule):
    """max(x, -x) = |x|, in floating point."""

    pattern: ClassVar[Op] = op.Max(var("x", is_float), op.Neg(var("x")))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Take the magnitude."""
        return build.op("Abs", match["x"])
