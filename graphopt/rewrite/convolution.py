"""Weights of convolutions, and which of their elements belong to a channel.

Patterns name the node "conv" and its constants "weight" and "bias".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphopt.rewrite.affine import Affine, Float64, along
from graphopt.rewrite.matcher import Match


def scale_outputs(weight: Float64, scale: Float64) -> Float64:
    """Scale the output channels [m] of a Conv's weight [m, channels_in/group, …], whatever the group."""
    return weight * along(scale, 0, weight.ndim)


def scale_transposed_outputs(weight: Float64, scale: Float64, group: int) -> Float64:
    """Scale the output channels [m] of a ConvTranspose's weight [channels_in, m/group, …].

    The output's channel g·m/group + j is made by column j of the rows of group g, so each group of rows has
    its own part of the scale.
    """
    rows = weight.reshape(group, -1, *weight.shape[1:])
    return (rows * scale.reshape(group, 1, weight.shape[1], *[1] * (weight.ndim - 2))).reshape(weight.shape)


def by_rows(channels: Affine, weight: Float64, group: int) -> Affine:
    """Repeat a map of the input's channels for each row of a Conv's weight: [m, channels_in/group, 1, …]."""

    def repeat(vector: Float64) -> Float64:
        rows = np.repeat(vector.reshape(group, -1), weight.shape[0] // group, axis=0)
        return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))

    return Affine(repeat(channels.scale), repeat(channels.shift))


def pads(match: Match, kernel: Sequence[int]) -> bool:
    """Whether a matched convolution reads beyond the borders of its input."""
    match match.attribute("conv", "auto_pad", "NOTSET"):
        case "NOTSET":
            return any(match.attribute("conv", "pads", ()))
        case "VALID":
            return False
        case _:
            return any(size != 1 for size in kernel)


def refuse_convolution(match: Match, channels: int) -> str | None:
    """Return why a matched convolution of that many output channels is malformed."""
    if match.constant("weight").shape[0] % match.attribute("conv", "group", 1):
        return "the rows of the convolution's weight do not divide by its group"
    if "bias" in match and match.constant("bias").shape != (channels,):
        return "the convolution's bias is not one number for each channel"
    return None
