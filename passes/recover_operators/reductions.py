"""Reductions that are written as two, and means over whole images.

ONNX operator spec, function bodies: ReduceSumSquare-18 = sum of x², ReduceL1-18 = sum of |x|, ReduceL2-18 =
square root of ReduceSumSquare, ReduceLogSum-18 = log of the sum, ReduceLogSumExp-18 = log of the sum of exp(x).
GlobalAveragePool-1 and GlobalMaxPool-1 reduce all axes after the second and keep them.

Sums add in another order, in the last digits; ReduceLogSumExp subtracts the maximum first, so that it stays
finite where exp overflowed. Canonical form: images (four dimensions or more) are pooled, while ReduceMean over
the last axis of [batch, time, features] stays, since it is the mean of a LayerNormalization.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, op, optional, var
from graphopt.rewrite.pattern import Op
from passes.recover_operators.axes import axes_of, covers_image, reduce, reduction
from passes.recover_operators.spelling import real, square


class _Reduction(Rule):
    """A function before or after a reduction "reduction" of x."""

    op_type: ClassVar[str]

    def refuse(self, match: Match) -> str | None:
        """Refuse axes that each run gives."""
        return "the axes of its reduction are not known" if axes_of(match.node("reduction")) is None else None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the operator along the same axes."""
        return reduce(match, build, self.op_type)


class ReduceSumSquare(_Reduction):
    """ReduceSum(x²) = ReduceSumSquare(x)."""

    pattern: ClassVar[Op] = reduction("ReduceSum", square(real()))
    op_type: ClassVar[str] = "ReduceSumSquare"


class ReduceL1(_Reduction):
    """ReduceSum(|x|) = ReduceL1(x)."""

    pattern: ClassVar[Op] = reduction("ReduceSum", op.Abs(real()))
    op_type: ClassVar[str] = "ReduceL1"


class ReduceL2(_Reduction):
    """√ReduceSumSquare(x) = ReduceL2(x)."""

    pattern: ClassVar[Op] = op.Sqrt(reduction("ReduceSumSquare", real()))
    op_type: ClassVar[str] = "ReduceL2"


class ReduceLogSumExp(_Reduction):
    """log(ReduceSum(exp(x))) = ReduceLogSumExp(x)."""

    pattern: ClassVar[Op] = op.Log(reduction("ReduceSum", op.Exp(real())))
    op_type: ClassVar[str] = "ReduceLogSumExp"
    stage: ClassVar[int] = 1  # after LogSoftmax, which subtracts one


class GlobalPool(Rule):
    """ReduceMean or ReduceMax over every axis from the third on = GlobalAveragePool or GlobalMaxPool."""

    pattern: ClassVar[Op] = op("ReduceMean", "ReduceMax")(
        var("x", lambda value: value.dtype == ir.DataType.FLOAT), optional(var("axes")), keepdims=1, where=covers_image
    )
    stage: ClassVar[int] = 1  # after the normalizations, which begin with a mean

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the pooling."""
        return build.op("GlobalAveragePool" if match.root.op_type == "ReduceMean" else "GlobalMaxPool", match["x"])
