"""HardSigmoid and HardSwish, which MobileNetV3 and everything after it is built with.

ONNX operator spec: HardSigmoid-6(x) = max(0, min(1, alpha·x + beta)); the function body of HardSwish-14 is
x · HardSigmoid<alpha=1/6, beta=1/2>(x). Both sides round differently, in the last digit of 1 (and of x for
HardSwish); x·6 no longer overflows. Infinities and NaN go the same way.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, either, op, since
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.recover_operators.spelling import (
    Recovery,
    bounded,
    near,
    number,
    plus,
    real,
    refuse_widening,
    times,
    value_of,
)

HARD_SWISH = 14
_ALPHA, _BETA = float(np.float32(1 / 6)), 0.5


def _relu6(x: Pattern) -> Either:
    """Match min(max(x + 3, 0), 6)."""
    return bounded(plus(x, 3), 6)


def _slope(x: Pattern) -> Either:
    return either(op.Mul(x, number("factor")), op.Div(x, number("divisor")))


class HardSigmoidOfSixths(Recovery):
    """min(max(x + 3, 0), 6) / 6 = HardSigmoid(x), alpha = 1/6, beta = 1/2."""

    pattern: ClassVar[Either] = times(_relu6(real()), 1 / 6)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write HardSigmoid."""
        return _hard_sigmoid(match, build)


class HardSigmoidOfUnits(Recovery):
    """min(max(a·x + b, 0), 1) = HardSigmoid(x), alpha = a, beta = b; and a·(x + b), with beta = a·b."""

    pattern: ClassVar[Either] = bounded(
        either(
            op.Add(_slope(real()), number("shift")),
            _slope(op.Add(real(), number("early_shift"))),
        ),
        1,
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a slope that is no float, and numbers that widen x."""
        if not np.isfinite(np.asarray(_affine(match)).astype(np.float32)).all():
            return "its slope or shift overflows the attributes of HardSigmoid"
        return refuse_widening(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write HardSigmoid."""
        alpha, beta = _affine(match)
        return build.op("HardSigmoid", match["x"], alpha=alpha, beta=beta)


def _is_of_sixths(gate: ir.Node) -> bool:
    alpha, beta = gate.attributes.get_float("alpha", 0.2), gate.attributes.get_float("beta", 0.5)
    return near(alpha, _ALPHA) and near(beta, _BETA)


class HardSwishOfGate(Recovery):
    """x · HardSigmoid(x) = HardSwish(x) where alpha = 1/6 and beta = 1/2."""

    pattern: ClassVar[Op] = op.Mul(real(), op.HardSigmoid(real(), where=_is_of_sixths))
    opsets: ClassVar[range] = since(HARD_SWISH)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write HardSwish."""
        return build.op("HardSwish", match["x"])


class HardSwishOfSixths(Recovery):
    """x · min(max(x + 3, 0), 6) / 6 = HardSwish(x), or x · HardSigmoid(x) before opset 14."""

    pattern: ClassVar[Either] = either(
        times(op.Mul(real(), _relu6(real())), 1 / 6),
        op.Mul(times(real(), 1 / 6), _relu6(real())),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write HardSwish, or the two operators that it stands for."""
        if match.opset >= HARD_SWISH:
            return build.op("HardSwish", match["x"])
        return build.op("Mul", match["x"], _hard_sigmoid(match, build))


def _hard_sigmoid(match: Match, build: Builder) -> ir.Value:
    return build.op("HardSigmoid", match["x"], alpha=_ALPHA, beta=_BETA)


def _affine(match: Match) -> tuple[float, float]:
    """Return alpha and beta of a matched affine map."""
    alpha = value_of(match, "factor") if "factor" in match else float(1 / np.float64(value_of(match, "divisor")))
    return alpha, value_of(match, "shift") if "shift" in match else alpha * value_of(match, "early_shift")
