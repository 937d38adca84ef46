"""Smooth activations.

ONNX operator spec, function bodies: Softplus-1 = log(exp(x) + 1), Softsign-1 = x / (1 + |x|), Mish-18 =
x · tanh(softplus(x)), Gelu-20 = ½·x·(1 + erf(x / √2)), or with approximate="tanh"
½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). Swish-24 is not written: neither onnxruntime nor TVM has a kernel of it,
so that x · Sigmoid(x) is the canonical form. Kernels round differently in the last digits,
and where exp overflows (x > 88 in float32) Softplus gives x, which is right, instead of infinity.
"""

from __future__ import annotations

import math
from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, either, op, since
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.recover_operators.spelling import (
    Recovery,
    about,
    half_product,
    negated,
    plus,
    real,
    reciprocal,
    square,
    times,
)

_ONE_PLUS_DECAY = plus(op.Exp(negated(real())), 1)


class Sigmoid(Recovery):
    """1 / (1 + exp(-x)) = Sigmoid(x)."""

    pattern: ClassVar[Either] = reciprocal(_ONE_PLUS_DECAY)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Sigmoid."""
        return build.op("Sigmoid", match["x"])


class SigmoidGate(Recovery):
    """x / (1 + exp(-x)) = x · Sigmoid(x), NaN at minus infinity on both sides."""

    pattern: ClassVar[Op] = op.Div(real(), _ONE_PLUS_DECAY)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the product."""
        return build.op("Mul", match["x"], build.op("Sigmoid", match["x"]))


class Softplus(Recovery):
    """log(1 + exp(x)) = Softplus(x)."""

    pattern: ClassVar[Op] = op.Log(plus(op.Exp(real()), 1))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Softplus."""
        return build.op("Softplus", match["x"])


class Softsign(Recovery):
    """x / (1 + |x|) = Softsign(x)."""

    pattern: ClassVar[Op] = op.Div(real(), plus(op.Abs(real()), 1))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Softsign."""
        return build.op("Softsign", match["x"])


class Mish(Recovery):
    """x · tanh(Softplus(x)) = Mish(x)."""

    pattern: ClassVar[Op] = op.Mul(real(), op.Tanh(op.Softplus(real())))
    opsets: ClassVar[range] = since(18)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Mish."""
        return build.op("Mish", match["x"])


class Gelu(Recovery):
    """½·x·(1 + erf(x / √2)) = Gelu(x)."""

    pattern: ClassVar[Either] = half_product(real(), plus(op.Erf(times(real(), math.sqrt(0.5))), 1))
    opsets: ClassVar[range] = since(20)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Gelu."""
        return build.op("Gelu", match["x"])


def _tanh_argument() -> Either:
    """Match √(2/π)·(x + c·x³) and √(2/π)·x·(1 + c·x²)."""
    x, c, root = real(), 0.044715, math.sqrt(2 / math.pi)
    cube = either(op.Pow(x, about(3)), op.Mul(x, square(x)))
    factor = plus(either(times(square(x), c), op.Mul(op.Mul(x, about(c)), x)), 1)
    sum_of_powers: Pattern = op("Add", "Sum")(x, times(cube, c))
    return either(
        times(sum_of_powers, root),
        times(op.Mul(x, factor), root),
        op.Mul(times(x, root), factor),
    )


class GeluByTanh(Recovery):
    """½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) = Gelu(x), approximate = "tanh"."""

    pattern: ClassVar[Either] = half_product(real(), plus(op.Tanh(_tanh_argument()), 1))
    opsets: ClassVar[range] = since(20)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Gelu."""
        return build.op("Gelu", match["x"], approximate="tanh")
