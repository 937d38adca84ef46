"""Softmax and LogSoftmax.

ONNX operator spec, function bodies, with z = x - ReduceMax(x) along one axis: Softmax-13 = exp(z) / sum(exp(z)),
LogSoftmax-13 = z - log(sum(exp(z))). Sums add in another order, in the last digits. Before opset 13 the two
operators flatten to a matrix at their axis, which is the same for the last axis alone.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, op
from graphopt.rewrite.pattern import Op
from passes.recover_operators.axes import positive_axes, rank_of, reduction
from passes.recover_operators.spelling import real

_ALONG_ONE_AXIS = 13

_CENTERED = op.Sub(real(), reduction("ReduceMax", real(), name="max", keepdims=1), name="centered")
_POWER = op.Exp(_CENTERED, name="power")
_SUM = reduction("ReduceSum", _POWER, name="sum", keepdims=1)


class Softmax(Rule):
    """exp(z) / sum(exp(z)) = Softmax(x), where z = x - max(x)."""

    pattern: ClassVar[Op] = op.Div(_POWER, _SUM)
    op_type: ClassVar[str] = "Softmax"

    def refuse(self, match: Match) -> str | None:
        """Refuse axes that are not one and the same."""
        axis = _axis(match)
        if axis is None:
            return "its maximum and its sum are not known to be along one and the same axis"
        rank = rank_of(match["x"])
        if match.opset < _ALONG_ONE_AXIS and axis + 1 != rank:
            return f"before opset 13 {self.op_type} works on the last axis and not on axis {axis} of {rank}"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write Softmax or LogSoftmax."""
        return build.op(self.op_type, match["x"], axis=_axis(match) or 0)


class LogSoftmax(Softmax):
    """z - log(sum(exp(z))) = LogSoftmax(x), where z = x - max(x)."""

    pattern: ClassVar[Op] = op.Sub(_CENTERED, op.Log(_SUM))
    op_type: ClassVar[str] = "LogSoftmax"


def _axis(match: Match) -> int | None:
    rank = rank_of(match["x"])
    of_max, of_sum = (positive_axes(match.node(name), rank) for name in ("max", "sum"))
    return of_sum[0] if of_sum is not None and of_sum == of_max and len(of_sum) == 1 else None
