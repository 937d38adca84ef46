"""Normalization after a linear operator: scale its weight, shift its bias.

In the formulas w is the weight, b the bias, ∗ a convolution and @ a matrix product.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, either, op, optional, parameter, var
from graphopt.rewrite.affine import Float64, add, along, rank, real
from graphopt.rewrite.convolution import refuse_convolution, scale_outputs, scale_transposed_outputs
from graphopt.rewrite.pattern import Op
from passes.fold_batch_norm.affine import affine, batch_norm, refuse_batch_norm


class ConvThenBatchNorm(Rule):
    """scale·(w∗x + b) + shift = (scale·w)∗x + (scale·b + shift).

    w [channels, channels_in/group, …]: whatever the group, axis 0 is the channel of the output.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = batch_norm(op.Conv(var("x"), parameter("weight"), optional(parameter("bias")), name="conv"))

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no map of the convolution's channels."""
        channels = match.constant("weight").shape[0]
        return refuse_batch_norm(match, channels=channels) or refuse_convolution(match, channels)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale axis 0 of the weight."""
        return _convolution(match, build, scale_outputs(real(match, "weight"), affine(match).scale))


class ConvTransposeThenBatchNorm(Rule):
    """scale·(wᵀ∗x + b) + shift = (scale·wᵀ)∗x + (scale·b + shift).

    w [channels_in, channels/group, …]: each group of rows has its own part of the scale.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = batch_norm(
        op.ConvTranspose(var("x"), parameter("weight"), optional(parameter("bias")), name="conv")
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no map of the convolution's channels."""
        channels = match.constant("weight").shape[1] * match.attribute("conv", "group", 1)
        return refuse_batch_norm(match, channels=channels) or refuse_convolution(match, channels)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale axis 1 of each group of rows of the weight."""
        weight, group = real(match, "weight"), match.attribute("conv", "group", 1)
        return _convolution(match, build, scale_transposed_outputs(weight, affine(match).scale, group))


class GemmThenBatchNorm(Rule):
    """scale·(α·a@w + β·b) + shift = α·a@(w·scale) + (scale·β·b + shift), with β = 1 from then on.

    The channel is the column of the output; b may be of any shape that broadcasts to [rows, channels].
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = batch_norm(op.Gemm(var("a"), parameter("weight"), optional(parameter("bias")), name="gemm"))

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no map of the columns."""
        return refuse_batch_norm(match, channels=match.constant("weight").shape[self._column(match)])

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the columns of the weight."""
        bn, w, dtype = affine(match), real(match, "weight"), match.dtype("weight")
        weight = build.constant("weight", w * along(bn.scale, self._column(match), 2), dtype)
        beta = match.attribute("gemm", "beta", 1.0)
        bias = build.constant("bias", bn.scale * beta * _bias(match) + bn.shift, dtype)
        return build.like(match.node("gemm"), [match["a"], weight, bias], beta=None)

    @staticmethod
    def _column(match: Match) -> int:
        return 0 if match.attribute("gemm", "transB", 0) else 1


class MatMulThenBatchNorm(Rule):
    """scale·(x@w) + shift = x@(scale·w) + shift, and the same with w on the left.

    Axis 1 of the output must be an axis of w that is not summed over: the columns where the output is
    [rows, channels], the rows of a w on the left where it is [batch, channels, columns], a batch axis where
    there are more.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = batch_norm(
        either(
            op.MatMul(var("x"), const("weight"), name="matmul"),
            op.MatMul(const("weight"), var("x"), name="matmul"),
        )
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse where the channels are no free axis of the weight."""
        output = match.node("matmul").outputs[0]
        if rank(output, match.root.outputs[0]) is None:
            return f"the rank of {output.name!r} is unknown"
        axis = self._channel_axis(match)
        if axis is None:
            return f"the channels of {output.name!r} are no free axis of the weight {match['weight'].name!r}"
        return refuse_batch_norm(match, channels=match.constant("weight").shape[axis])

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the axis of the weight that becomes axis 1, and add the shift there."""
        matmul, bn, w, dtype = match.node("matmul"), affine(match), real(match, "weight"), match.dtype("weight")
        weight = build.constant("weight", w * along(bn.scale, self._channel_axis(match) or 0, w.ndim), dtype)
        inputs = [weight if value is match["weight"] else value for value in matmul.inputs]
        shift = along(bn.shift, 0, self._rank(match) - 1)
        return add(build, build.like(matmul, inputs), shift, dtype)

    @staticmethod
    def _rank(match: Match) -> int:
        return rank(match.node("matmul").outputs[0], match.root.outputs[0]) or 0

    def _channel_axis(self, match: Match) -> int | None:
        """Return the axis of the weight that is axis 1 of the output, if there is one that is not summed over.

        Axes align from the right where both factors are matrices, which they are if the output has at least
        the rank of the weight.
        """
        w = match.constant("weight")
        summed = w.ndim - 2 if match.node("matmul").inputs[1] is match["weight"] else w.ndim - 1
        axis = w.ndim - self._rank(match) + 1
        return axis if 2 <= w.ndim <= self._rank(match) and 0 <= axis != summed else None


def _convolution(match: Match, build: Builder, weight: Float64) -> ir.Value:
    """Repeat the convolution with a new weight, and a bias that is scaled and shifted."""
    bn, dtype = affine(match), match.dtype("weight")
    new_weight = build.constant("weight", weight, dtype)
    new_bias = build.constant("bias", bn.scale * _bias(match) + bn.shift, dtype)
    return build.like(match.node("conv"), [match["x"], new_weight, new_bias])


def _bias(match: Match) -> Float64:
    return real(match, "bias") if "bias" in match else np.zeros(1)
