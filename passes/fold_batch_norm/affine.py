"""Normalization at inference, read as y = scale·x + shift for each channel (axis 1).

ONNX BatchNormalization-7 to -15, without training:
    y = s · (x - mean) / sqrt(variance + epsilon) + bias
so  scale = s / sqrt(variance + epsilon)  and  shift = bias - scale · mean.

All arithmetic is in float64; rounding happens once, when the result becomes a constant again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, op, parameter
from graphopt.rewrite.pattern import Op, Pattern

Float64 = npt.NDArray[np.float64]

PARAMETERS = ("scale", "bias", "mean", "variance")
"""Names for inputs 1 to 4 of the operator, in order."""

TRAINING_BY_ATTRIBUTE = 14
"""The opset that introduced training_mode; before it, asking for the statistics meant training."""


@dataclass(frozen=True)
class Affine:
    """y = scale·x + shift; both float64 [channels], or scalars."""

    scale: Float64
    shift: Float64

    def after(self, first: Affine) -> Affine:
        """Return the map that does `first` and then this one."""
        return Affine(self.scale * first.scale, self.scale * first.shift + self.shift)


def batch_norm(x: Pattern, name: str = "bn") -> Op:
    """Match a BatchNormalization with constant parameters, bound to `{name}.scale` and so on."""
    parameters = (parameter(f"{name}.{part}") for part in PARAMETERS)
    return op.BatchNormalization(x, *parameters, name=name)


def affine(match: Match, name: str = "bn") -> Affine:
    """Return the map of a matched normalization."""
    scale = real(match, f"{name}.scale") / deviation(match, name)
    return Affine(scale, real(match, f"{name}.bias") - scale * real(match, f"{name}.mean"))


def deviation(match: Match, name: str = "bn") -> Float64:
    """Return sqrt(variance + epsilon)."""
    deviations: Float64 = np.sqrt(real(match, f"{name}.variance") + match.attribute(name, "epsilon", 1e-5))
    return deviations


def batch_norm_with(match: Match, build: Builder, x: ir.Value, mapping: Affine) -> ir.Value:
    """Repeat the normalization "bn" on `x` so that it maps as given: only its scale and bias change."""
    dtype = match.dtype("bn.scale")
    scale = mapping.scale * deviation(match)
    shift = mapping.shift + mapping.scale * real(match, "bn.mean")
    return build.like(
        match.node("bn"),
        [
            x,
            build.constant("scale", scale, dtype),
            build.constant("shift", shift, dtype),
            match["bn.mean"],
            match["bn.variance"],
        ],
    )


def refuse_batch_norm(match: Match, name: str = "bn", channels: int | None = None) -> str | None:
    """Return why a matched normalization is no such map, or not one of that many channels."""
    node = match.node(name)
    statistics = [value.name for value in node.outputs[1:] if value.name]
    if match.attribute(name, "training_mode", 0) or (statistics and match.opset < TRAINING_BY_ATTRIBUTE):
        return "it computes the statistics of each batch (training mode)"
    parameters = {part: real(match, f"{name}.{part}") for part in PARAMETERS}
    shapes = {array.shape for array in parameters.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 1:
        return "its parameters are not one number for each channel"
    if channels is not None and shape != (channels,):
        return f"it has parameters for {shape[0]} channels where there are {channels}"
    if not (parameters["variance"] + match.attribute(name, "epsilon", 1e-5) > 0).all():
        return "its variance plus epsilon is not positive everywhere"
    return None


def real(match: Match, name: str) -> Float64:
    """Return a matched constant as float64."""
    return match.constant(name).astype(np.float64)


def along(vector: Float64, axis: int, rank: int) -> Float64:
    """Shape a vector [n] so that it broadcasts along one axis of a tensor: [1, …, n, …, 1]."""
    return vector.reshape([vector.size if index == axis else 1 for index in range(rank)])


def add(build: Builder, value: ir.Value, shift: Float64, dtype: ir.DataType) -> ir.Value:
    """Build value + shift, or nothing where the shift is zero."""
    return build.op("Add", value, build.constant("bias", shift, dtype)) if shift.any() else value


def rank(*values: ir.Value) -> int | None:
    """Return the rank of values of equal shape, as soon as one of them knows it."""
    return next((value.shape.rank() for value in values if value.shape is not None), None)


def refuse_convolution(match: Match, channels: int) -> str | None:
    """Return why a matched convolution with `weight`, `bias` and that many output channels is malformed."""
    if match.constant("weight").shape[0] % match.attribute("conv", "group", 1):
        return "the rows of the convolution's weight do not divide by its group"
    if "bias" in match and match.constant("bias").shape != (channels,):
        return "the convolution's bias is not one number for each channel"
    return None
