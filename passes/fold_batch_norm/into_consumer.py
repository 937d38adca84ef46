"""Normalization before a linear operator: scale its weight along what is summed, put the shift into its bias.

In the formulas w is the weight, b the bias, ∗ a convolution and @ a matrix product.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, either, op, optional, parameter, var
from graphopt.rewrite.affine import Float64, add, along, rank, real
from graphopt.rewrite.convolution import by_rows, pads, refuse_convolution
from graphopt.rewrite.pattern import Either, Op
from passes.fold_batch_norm.affine import affine, batch_norm, refuse_batch_norm


class BatchNormThenConv(Rule):
    """w∗(scale·x + shift) + b = (w·scale)∗x + (b + Σ w·shift).

    w [channels_out, channels/group, …]: the rows of group g see that group's channels. The sum is the same
    at every place only if the convolution does not pad: it pads with zeros, not with the shift.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = op.Conv(batch_norm(var("x")), parameter("weight"), optional(parameter("bias")), name="conv")

    def refuse(self, match: Match) -> str | None:
        """Refuse a shift under padding."""
        w = match.constant("weight")
        channels = w.shape[1] * match.attribute("conv", "group", 1)
        reason = refuse_batch_norm(match, channels=channels) or refuse_convolution(match, w.shape[0])
        if reason is None and affine(match).shift.any() and pads(match, w.shape[2:]):
            return "the convolution pads with zeros after the normalization has shifted"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale each group's rows by that group's channels."""
        w = real(match, "weight")
        rows = by_rows(affine(match), w, match.attribute("conv", "group", 1))
        weight = build.constant("weight", w * rows.scale, match.dtype("weight"))
        added = (w * rows.shift).sum(axis=tuple(range(1, w.ndim)))
        return build.like(match.node("conv"), [match["x"], weight, _new_bias(match, build, added)])


class BatchNormThenConvTranspose(Rule):
    """wᵀ∗(scale·x) + b = (w·scale)ᵀ∗x + b; only without a shift, which would fade at the borders.

    w [channels, …]: axis 0 is the channel of the input, whatever the group.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = op.ConvTranspose(
        batch_norm(var("x")), parameter("weight"), optional(var("bias")), name="conv"
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a shift."""
        reason = refuse_batch_norm(match, channels=match.constant("weight").shape[0])
        if reason is None and affine(match).shift.any():
            return "it shifts, and a transposed convolution sums fewer shifts at the borders"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale axis 0 of the weight."""
        w = real(match, "weight")
        weight = build.constant("weight", w * along(affine(match).scale, 0, w.ndim), match.dtype("weight"))
        return build.like(match.node("conv"), [match["x"], weight, match.get("bias")])


class BatchNormThenGemm(Rule):
    """α·(a·scale + shift)@w + β·b = α·a@(scale·w) + (β·b + α·shift@w), with β = 1 from then on.

    Not with transA, where the channels are the rows of the output.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = op.Gemm(batch_norm(var("a")), parameter("weight"), optional(parameter("bias")), name="gemm")

    def refuse(self, match: Match) -> str | None:
        """Refuse where the channels are not what is summed over."""
        if match.attribute("gemm", "transA", 0):
            return "the Gemm transposes it, so that its channels are rows of the output"
        return refuse_batch_norm(match, channels=match.constant("weight").shape[self._row(match)])

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the rows of the weight."""
        bn, w, row = affine(match), real(match, "weight"), self._row(match)
        weight = build.constant("weight", w * along(bn.scale, row, 2), match.dtype("weight"))
        added = match.attribute("gemm", "alpha", 1.0) * (w * along(bn.shift, row, 2)).sum(axis=row)
        bias = _new_bias(match, build, added, match.attribute("gemm", "beta", 1.0))
        return build.like(match.node("gemm"), [match["a"], weight, bias], beta=None)

    @staticmethod
    def _row(match: Match) -> int:
        return 1 if match.attribute("gemm", "transB", 0) else 0


class BatchNormThenMatMul(Rule):
    """(scale·x + shift)@w = x@(scale·w) + shift@w, and the same with w on the left.

    Axis 1 of x must be what is summed over: its last axis where x is [rows, channels] and w on the right,
    its last but one where x is [batch, channels, columns] and w on the left.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Either] = either(
        op.MatMul(batch_norm(var("x")), const("weight"), name="matmul"),
        op.MatMul(const("weight"), batch_norm(var("x")), name="matmul"),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse where the channels are not what is summed over."""
        normalized, w = match.node("bn").outputs[0], match.constant("weight")
        found = rank(normalized, match["x"])
        if found is None:
            return f"the rank of {normalized.name!r} is unknown"
        if found != (2 if self._on_right(match) else 3) or not w.ndim:
            return "the MatMul does not sum over its channels"
        return refuse_batch_norm(match, channels=w.shape[self._summed_axis(match)])

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the axis of the weight that is summed over."""
        bn, w, matmul, dtype = affine(match), real(match, "weight"), match.node("matmul"), match.dtype("weight")
        axis = self._summed_axis(match)
        weight = build.constant("weight", w * along(bn.scale, axis, w.ndim), dtype)
        inputs = [weight if value is match["weight"] else match["x"] for value in matmul.inputs]
        # Kept as an axis of size 1, what was summed broadcasts over the rows or columns of x.
        shift = (w * along(bn.shift, axis, w.ndim)).sum(axis=axis, keepdims=w.ndim > 1)
        return add(build, build.like(matmul, inputs), shift, dtype)

    @staticmethod
    def _on_right(match: Match) -> bool:
        return match.node("matmul").inputs[1] is match["weight"]

    def _summed_axis(self, match: Match) -> int:
        dims = match.constant("weight").ndim
        return max(dims - 2, 0) if self._on_right(match) else dims - 1


def _new_bias(match: Match, build: Builder, added: Float64, factor: float = 1.0) -> ir.Value | None:
    """Return factor·b + added, or nothing where there was no bias and nothing is added."""
    if "bias" in match:
        return build.constant("bias", factor * real(match, "bias") + added, match.dtype("weight"))
    return build.constant("bias", added, match.dtype("weight")) if added.any() else None
