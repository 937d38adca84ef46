"""Normalization by the statistics of each sample, and the scale and shift that follow it.

With m = mean(x) and v = mean((x - m)²) over some axes, and eps a number (ONNX operator spec):
LayerNormalization-17 = (x - m) / √(v + eps) · scale + bias over the axes from `axis` on, scale and bias of their
shape. InstanceNormalization-6 is the same over all axes from the third on, scale and bias [C].
GroupNormalization-21 is the same for each group of channels, scale and bias [C]; that of opset 18 has one scale
a group and is withdrawn. RMSNormalization-23 = x / √(mean(x²) + eps) · scale. The cores are written with
scale 1, then take over what multiplies and adds.

Kernels sum in another order, in the last digits; onnxruntime's LayerNormalization (as its function body) takes
the variance as mean(x²) - m², which loses digits where |m| is much greater than the deviation.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import same_dim, same_shape
from graphopt.rewrite import Builder, Match, Rule, const, either, op, parameter, since
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.recover_operators.axes import is_image, positive_axes, rank_of, reduction
from passes.recover_operators.spelling import (
    about,
    number,
    real,
    reciprocal,
    refuse_widening,
    square,
    value_of,
)

_LAYER_NORMALIZATION = 17


def _deviation(variance: Pattern) -> Op:
    return op.Sqrt(op.Add(variance, number("epsilon")))


def _over_deviation(x: Pattern, variance: Pattern) -> Either:
    """Match x / √(variance + epsilon)."""
    return either(
        op.Div(x, _deviation(variance)),
        op.Mul(x, reciprocal(_deviation(variance))),
        op.Mul(x, op.Pow(op.Add(variance, number("epsilon")), about(-0.5))),
    )


def _mean(x: Pattern, name: str) -> Op:
    return reduction("ReduceMean", x, name=name, keepdims=1)


_CENTERED = op.Sub(real(), _mean(real(), "mean"), name="centered")


class MeanVariance(Rule):
    """(x - m) / √(v + eps) = LayerNormalization(x, 1), or InstanceNormalization(x, 1, 0) of an image."""

    pattern: ClassVar[Op | Either] = _over_deviation(_CENTERED, _mean(square(_CENTERED), "variance"))

    def refuse(self, match: Match) -> str | None:
        """Refuse axes that are not the last ones, or of a size that is not known."""
        axes, rank = _axes(match, "mean", "variance"), rank_of(match["x"])
        if axes is None or rank is None:
            return "its mean and its variance are not known to be over the same axes"
        if is_image(axes, rank):
            return _refuse_unknown(match, [1]) or refuse_widening(match)
        if match.opset < _LAYER_NORMALIZATION:
            return f"LayerNormalization exists since opset {_LAYER_NORMALIZATION}"
        return _refuse_inner(axes, rank) or _refuse_unknown(match, axes) or refuse_widening(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the normalization with neutral parameters."""
        x, axes, epsilon = match["x"], _axes(match, "mean", "variance") or [], value_of(match, "epsilon")
        if is_image(axes, rank_of(x) or 0):
            parameters = _neutral(match, build, [1])
            return build.op("InstanceNormalization", x, *parameters, epsilon=epsilon)
        scale, _ = _neutral(match, build, axes)
        return build.op("LayerNormalization", x, scale, axis=axes[0], epsilon=epsilon)


def _inverse(factor: Pattern) -> Either:
    """Match factor / √(v + eps)."""
    return _over_deviation(factor, _mean(square(_CENTERED), "variance"))


class MeanVarianceApart(MeanVariance):
    """x·g + (b - m·g), where g = s / √(v + eps), is s·(x - m) / √(v + eps) + b: as TensorFlow writes it."""

    pattern: ClassVar[Op] = op.Add(
        op.Mul(real(), _inverse(real("factor"))),
        op.Sub(real("shift"), op.Mul(_mean(real(), "mean"), _inverse(real("factor")))),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale and shift the normalization, which takes both in as its parameters."""
        return build.op("Add", build.op("Mul", super().replace(match, build), match["factor"]), match["shift"])


class MeanSquare(Rule):
    """x / √(mean(x²) + eps) = RMSNormalization(x, 1)."""

    pattern: ClassVar[Either] = _over_deviation(real(), _mean(square(real()), "mean"))
    opsets: ClassVar[range] = since(23)

    def refuse(self, match: Match) -> str | None:
        """Refuse axes that are not the last ones, or of a size that is not known."""
        axes, rank = _axes(match, "mean"), rank_of(match["x"])
        if axes is None or rank is None:
            return "the axes of its mean are not known"
        return _refuse_inner(axes, rank) or _refuse_unknown(match, axes) or refuse_widening(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the normalization with a neutral scale."""
        axes = _axes(match, "mean") or []
        scale, _ = _neutral(match, build, axes)
        return build.op("RMSNormalization", match["x"], scale, axis=axes[0], epsilon=value_of(match, "epsilon"))


class GroupedInstances(Rule):
    """InstanceNormalization of groups of channels, [N, C, …] seen as [N, G, …] = GroupNormalization."""

    pattern: ClassVar[Op] = op.Reshape(
        op.InstanceNormalization(
            op.Reshape(real(), const(), name="split"), parameter("scale"), parameter("bias"), name="norm"
        ),
        const(),
    )
    opsets: ClassVar[range] = since(21)

    def refuse(self, match: Match) -> str | None:
        """Refuse other shapes than those of groups."""
        x, grouped, back = match["x"].shape, match.node("split").outputs[0].shape, match.root.outputs[0].shape
        if x is None or grouped is None or back is None or len(x) < 2 or len(grouped) < 2:
            return "the shapes before and after its groups are not known"
        channels, groups = x[1], grouped[1]
        if not isinstance(channels, int) or not isinstance(groups, int) or not groups or channels % groups:
            return "its groups do not divide the channels"
        if not same_dim(x[0], grouped[0]) or not same_shape(match["x"], match.root.outputs[0]):
            return "it does not give its channels back as they were"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Give each channel the scale and bias of its group."""
        groups = match.constant("scale").size
        channels = match["x"].shape[1] if match["x"].shape else 0
        size = channels // groups if isinstance(channels, int) else 0
        parameters = [build.constant(name, np.repeat(match.constant(name), size)) for name in ("scale", "bias")]
        epsilon = match.attribute("norm", "epsilon", 1e-5)
        return build.op("GroupNormalization", match["x"], *parameters, num_groups=groups, epsilon=epsilon)


def _axes(match: Match, *names: str) -> list[int] | None:
    """Return the axes that all of the named reductions of x have, sorted, or None."""
    first, *others = (positive_axes(match.node(name), rank_of(match["x"])) for name in names)
    return first if all(axes == first for axes in others) else None


def _refuse_inner(axes: list[int], rank: int) -> str | None:
    return None if axes == list(range(axes[0], rank)) else f"its axes {axes} are not the last ones of {rank}"


def _refuse_unknown(match: Match, axes: list[int]) -> str | None:
    return None if _sizes(match, axes) is not None else f"the sizes of {match['x'].name!r} along {axes} are not known"


def _sizes(match: Match, axes: list[int]) -> list[int] | None:
    shape = match["x"].shape
    sizes = [size for axis in axes if shape is not None and isinstance(size := shape[axis], int)]
    return sizes if len(sizes) == len(axes) else None


def _neutral(match: Match, build: Builder, axes: list[int]) -> tuple[ir.Value, ir.Value]:
    """Return a scale of ones and a bias of zeros for axes of x."""
    sizes, dtype = _sizes(match, axes) or [], match["x"].dtype
    return build.constant("scale", np.ones(sizes), dtype), build.constant("bias", np.zeros(sizes), dtype)
