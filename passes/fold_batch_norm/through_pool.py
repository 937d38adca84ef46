"""Normalization after a pool or a resize of a convolution: the convolution does it.

In the formulas w is the weight, b the bias, ∗ a convolution.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import same_dim
from graphopt.rewrite import Builder, Match, op, optional, parameter, var
from graphopt.rewrite.pattern import Op
from passes.fold_batch_norm.affine import affine, batch_norm
from passes.fold_batch_norm.into_producer import ConvThenBatchNorm

_OPERATORS = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "Resize")
_INTERPOLATIONS = ("nearest", "linear")
"""Modes of Resize whose weights are positive and add up to 1."""


class ConvThenPoolThenBatchNorm(ConvThenBatchNorm):
    """scale·pool(w∗x + b) + shift = pool((scale·w)∗x + (scale·b + shift)) for a pool within each channel.

    An average commutes with any such map if it is one of elements of the channel alone, without zeros around it; so
    does a Resize that interpolates between them; a maximum, if no scale is negative.
    """

    pattern: ClassVar[Op] = batch_norm(
        op(*_OPERATORS)(
            op.Conv(var("x"), parameter("weight"), optional(parameter("bias")), name="conv"),
            *(optional(var(name)) for name in ("roi", "scales", "sizes")),
            name="pool",
        )
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no map of the convolution's channels, and a pool that does not commute with it."""
        return super().refuse(match) or _refuse_pool(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Pool what the convolution makes with its axis 0 scaled."""
        convolved = super().replace(match, build)
        return build.like(match.node("pool"), [convolved, *match.node("pool").inputs[1:]])


def _refuse_pool(match: Match) -> str | None:
    match match.node("pool").op_type:
        case "AveragePool" if match.attribute("pool", "count_include_pad", 0):
            return "its average may count zeros around the image, which the normalization would shift"
        case "GlobalMaxPool" | "MaxPool" if (affine(match).scale < 0).any():
            return "its scale is negative in some channels, where the largest element becomes the least"
        case "Resize":
            return _refuse_resize(match)
        case _:
            return None


def _refuse_resize(match: Match) -> str | None:
    """Return why a Resize does more than interpolate between elements of one channel."""
    before, after = match.node("pool").inputs[0], match.node("pool").outputs[0]
    mode = match.attribute("pool", "mode", "nearest")
    crops = match.attribute("pool", "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if mode not in _INTERPOLATIONS or crops:
        return f"it is resized by {'tf_crop_and_resize' if crops else mode}"
    if before is None or before.shape is None or after.shape is None or not same_dim(before.shape[1], after.shape[1]):
        return "its channels are not known to keep their number as it is resized"
    return None
