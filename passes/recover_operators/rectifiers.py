"""Rectifiers that are spelled with Where, Max or one another.

ONNX operator spec, function bodies: LeakyRelu-16, PRelu-16, Elu-18, Selu-18 and ThresholdedRelu-18 are
Where(x < 0, …). Each selects the same numbers as before, NaN too; Elu rounds in the last digit.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, either, op, since, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.recover_operators.spelling import (
    Recovery,
    about,
    below_zero,
    near,
    number,
    plus,
    real,
    refuse_widening,
    value_of,
)

_SELU_ALPHA, _SELU_GAMMA = 1.6732632423543772, 1.0507009873554805


def _growth(x: Pattern) -> Either:
    return plus(op.Exp(x), -1)


class LeakyRelu(Recovery):
    """x where x ≥ 0, else alpha·x; and max(x, alpha·x) for 0 < alpha < 1."""

    pattern: ClassVar[Either] = either(
        below_zero(real(), op.Mul(real(), number("alpha")), real()),
        op.Max(real(), op.Mul(real(), number("alpha"))),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a maximum that leaks upwards."""
        if match.root.op_type == "Max" and not 0 < value_of(match, "alpha") < 1:
            return "the greater of x and alpha·x leaks below zero only for an alpha between 0 and 1"
        return refuse_widening(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write LeakyRelu."""
        return build.op("LeakyRelu", match["x"], alpha=value_of(match, "alpha"))


class PRelu(Recovery):
    """x where x ≥ 0, else slope·x = PRelu(x, slope), where slope broadcasts to x alone."""

    pattern: ClassVar[Either] = below_zero(real(), op.Mul(real(), var("slope")), real())

    def refuse(self, match: Match) -> str | None:
        """Refuse a slope that may widen x."""
        if not broadcasts_into(match["slope"], match["x"]):
            return f"the slope {match['slope'].name!r} may be wider than {match['x'].name!r}"
        return refuse_widening(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write PRelu."""
        return build.op("PRelu", match["x"], match["slope"])


class Elu(Recovery):
    """x where x ≥ 0, else alpha·(exp(x) - 1)."""

    pattern: ClassVar[Either] = below_zero(
        real(), either(op.Mul(_growth(real()), number("alpha")), _growth(real())), real()
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Elu."""
        return build.op("Elu", match["x"], alpha=value_of(match, "alpha") if "alpha" in match else 1.0)


def _grows_like_selu(elu: ir.Node) -> bool:
    return near(elu.attributes.get_float("alpha", 1.0), _SELU_ALPHA)


class Selu(Recovery):
    """gamma · Elu(x) = Selu(x) for the two numbers that make a network self-normalizing."""

    pattern: ClassVar[Either] = either(
        op.Mul(op.Elu(real(), where=_grows_like_selu), about(_SELU_GAMMA)),
        below_zero(
            real(),
            op.Mul(plus(op.Mul(op.Exp(real()), about(_SELU_ALPHA)), -_SELU_ALPHA), about(_SELU_GAMMA)),
            op.Mul(real(), about(_SELU_GAMMA)),
        ),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Selu, whose numbers are the default."""
        return build.op("Selu", match["x"])


class ThresholdedRelu(Recovery):
    """x where x > alpha, else 0."""

    pattern: ClassVar[Op] = op.Where(
        either(op.Greater(real(), number("alpha")), op.Less(number("alpha"), real())), real(), about(0)
    )
    opsets: ClassVar[range] = since(10)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write ThresholdedRelu."""
        return build.op("ThresholdedRelu", match["x"], alpha=value_of(match, "alpha"))
