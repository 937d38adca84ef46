"""Normalization at inference, read as y = scale·x + shift for each channel (axis 1).

ONNX BatchNormalization-7 to -15, without training:
    y = s · (x - mean) / sqrt(variance + epsilon) + bias
so  scale = s / sqrt(variance + epsilon)  and  shift = bias - scale · mean.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, op, parameter
from graphopt.rewrite.affine import Affine, Float64, real
from graphopt.rewrite.pattern import Op, Pattern

PARAMETERS = ("scale", "bias", "mean", "variance")
"""Names for inputs 1 to 4 of the operator, in order."""

TRAINING_BY_ATTRIBUTE = 14
"""The opset that introduced training_mode; before it, asking for the statistics meant training."""


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
