"""Arithmetic with a constant per channel, before and after convolutions.

In the formulas w is the weight, b the bias, c the constant, ∗ a convolution. Addition and subtraction are
shifts, the others scales; see `graphopt.rewrite.affine`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, op, optional, parameter, var
from graphopt.rewrite.affine import Affine, Float64, along, operand_name, operand_of, real, step, step_map
from graphopt.rewrite.convolution import (
    by_rows,
    pads,
    refuse_convolution,
    scale_outputs,
    scale_transposed_outputs,
)
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.fold_linear.weights import bias_of, new_weight


def _convolution(op_type: str, x: Pattern) -> Op:
    return op(op_type)(x, parameter("weight"), optional(parameter("bias")), name="conv")


class ConvThenStep(Rule):
    """c·(w∗x + b) = (c·w)∗x + c·b, (w∗x + b) + c = w∗x + (b + c), and so for - and /.

    w [channels, channels_in/group, …]: whatever the group, axis 0 is the channel of the output.
    """

    pattern: ClassVar[Either] = step(_convolution("Conv", var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is not per channel."""
        channels = match.constant("weight").shape[0]
        return refuse_convolution(match, channels) or _refuse_operand(match, channels)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale axis 0 of the weight."""
        weight = real(match, "weight")
        mapping = _per_channel(match, weight.shape[0])
        return _mapped(match, build, mapping, scale_outputs(weight, mapping.scale))


class ConvTransposeThenStep(Rule):
    """c·(wᵀ∗x + b) = (c·wᵀ)∗x + c·b, (wᵀ∗x + b) + c = wᵀ∗x + (b + c), and so for - and /.

    w [channels_in, channels/group, …]: each group of rows has its own part of c.
    """

    pattern: ClassVar[Either] = step(_convolution("ConvTranspose", var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is not per channel."""
        channels = _transposed_channels(match)
        return refuse_convolution(match, channels) or _refuse_operand(match, channels)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale axis 1 of each group of rows of the weight."""
        mapping = _per_channel(match, _transposed_channels(match))
        group = match.attribute("conv", "group", 1)
        return _mapped(match, build, mapping, scale_transposed_outputs(real(match, "weight"), mapping.scale, group))


class StepThenConv(Rule):
    """w∗(c·x) + b = (w·c)∗x + b and w∗(x + c) + b = w∗x + (b + Σ w·c), the latter without padding alone.

    w [channels_out, channels/group, …]: the rows of group g see that group's channels.
    """

    pattern: ClassVar[Op] = _convolution("Conv", step(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse a shift under padding, and an operand that is not per channel or makes channels."""
        weight = match.constant("weight")
        channels = weight.shape[1] * match.attribute("conv", "group", 1)
        reason = (
            refuse_convolution(match, weight.shape[0])
            or _refuse_operand(match, channels)
            or _refuse_widening(match, channels)
        )
        if reason is None and _per_channel(match, channels).shift.any() and pads(match, weight.shape[2:]):
            return f"the convolution pads with zeros what {operand_name(match)} has shifted"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale each group's rows by that group's channels."""
        weight, group = real(match, "weight"), match.attribute("conv", "group", 1)
        rows = by_rows(_per_channel(match, weight.shape[1] * group), weight, group)
        added = (weight * rows.shift).sum(axis=tuple(range(1, weight.ndim)))
        bias = match.get("bias")
        if added.any():
            bias = build.constant("bias", bias_of(match) + added, match.dtype("weight"))
        return build.like(match.node("conv"), [match["x"], new_weight(match, build, weight * rows.scale), bias])


class StepThenConvTranspose(Rule):
    """wᵀ∗(c·x) + b = (c·w)ᵀ∗x + b; a shift would fade at the borders.

    w [channels, …]: axis 0 is the channel of the input, whatever the group.
    """

    pattern: ClassVar[Op] = _convolution("ConvTranspose", step(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse a shift, and an operand that is not per channel or makes channels."""
        channels = match.constant("weight").shape[0]
        reason = _refuse_operand(match, channels) or _refuse_widening(match, channels)
        if reason is None and _per_channel(match, channels).shift.any():
            return f"{operand_name(match)} shifts, and a transposed convolution sums fewer shifts at the borders"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale axis 0 of the weight."""
        weight = real(match, "weight")
        scaled = weight * along(_per_channel(match, weight.shape[0]).scale, 0, weight.ndim)
        return build.like(match.node("conv"), [match["x"], new_weight(match, build, scaled), match.get("bias")])


def _transposed_channels(match: Match) -> int:
    columns: int = match.constant("weight").shape[1]
    return columns * match.attribute("conv", "group", 1)


def _per_channel(match: Match, channels: int) -> Affine:
    return step_map(match, np.broadcast_to(operand_of(match).reshape(-1), (channels,)))


def _refuse_operand(match: Match, channels: int) -> str | None:
    """Return why an operand on as many dimensions as the weight has is not one number for each channel."""
    operand, dims = operand_of(match), match.constant("weight").ndim
    shape = (1,) * (dims - operand.ndim) + operand.shape
    along_channels = len(shape) == dims and all(size == 1 for axis, size in enumerate(shape) if axis != 1)
    if not along_channels or operand.size not in (1, channels):
        return f"{operand_name(match)} is not one number for each channel"
    return None


def _refuse_widening(match: Match, channels: int) -> str | None:
    """Return why an operand may change the shape of `x`; a number, or a vector of one, cannot."""
    x, operand = match["x"], operand_of(match)
    if operand.ndim <= 1:
        return None
    if x.shape is None or len(x.shape) != match.constant("weight").ndim or x.shape[1] != channels:
        return f"{x.name!r} may have fewer channels than {operand_name(match)}"
    return None


def _mapped(match: Match, build: Builder, mapping: Affine, scaled: Float64) -> ir.Value:
    """Repeat the convolution with a scaled weight, and a bias that is scaled and shifted."""
    weight, bias = new_weight(match, build, scaled), match.get("bias")
    new_bias = mapping.scale * bias_of(match) + mapping.shift
    if bias is not None or new_bias.any():
        bias = build.constant("bias", new_bias, match.dtype("weight"))
    return build.like(match.node("conv"), [match["x"], weight, bias])
