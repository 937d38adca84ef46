"""Constant choices of channels before and after linear operators: rows and columns of the weight are chosen instead.

In the formulas i lists channels, as the indices of a Gather do. A list of all of them, each once, is a permutation.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, op, optional, parameter, var
from graphopt.rewrite.affine import real
from graphopt.rewrite.convolution import refuse_convolution
from graphopt.rewrite.pattern import Op, Pattern
from graphopt.tensors import Array
from passes.fold_linear.weights import is_real, new_weight

Indices = npt.NDArray[np.int64]


def _is_list(array: Array) -> bool:
    return array.ndim == 1


def _choice(x: Pattern) -> Op:
    return op.Gather(x, const("indices", _is_list), name="gather")


def _convolution(x: Pattern) -> Op:
    return op.Conv(x, parameter("weight", is_real), optional(parameter("bias")), name="conv")


class ConvThenChoice(Rule):
    """(w∗x + b)[:, i] = w[i]∗x + b[i], w [channels, channels_in/group, …], if each group keeps as many channels."""

    pattern: ClassVar[Op] = _choice(_convolution(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse a choice along other axes, of more channels than there are, and across groups."""
        channels, group = match.constant("weight").shape[0], match.attribute("conv", "group", 1)
        malformed = refuse_convolution(match, channels)
        if malformed or not _is_of_channels(match):
            return malformed or "it does not choose channels"
        indices = _indices(match, channels)
        if len(indices) > channels:
            return "it would make the weight larger"
        return None if _keeps_groups(indices, channels, group) else "it moves channels across groups"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Choose rows of the weight."""
        weight, bias = real(match, "weight"), match.get("bias")
        indices = _indices(match, weight.shape[0])
        if bias is not None:
            bias = build.constant("bias", real(match, "bias")[indices], match.dtype("bias"))
        return build.op(
            "Conv", match["x"], new_weight(match, build, weight[indices]), bias, **_attributes(match.node("conv"))
        )


class ChoiceThenConv(Rule):
    """w∗(x[:, i]) + b = w[:, i⁻¹]∗x + b for a permutation i that keeps the channels of each group in it."""

    pattern: ClassVar[Op] = _convolution(_choice(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse a choice along other axes, of some channels only, and across groups."""
        weight, group, x = match.constant("weight"), match.attribute("conv", "group", 1), match["x"].shape
        channels = weight.shape[1] * group
        malformed = refuse_convolution(match, weight.shape[0])
        if malformed or not _is_of_channels(match):
            return malformed or "it does not choose channels"
        indices = _indices(match, channels)
        if x is None or x[1] != channels or sorted(indices) != list(range(channels)):
            return "it is not known to choose each channel once"
        return None if _keeps_groups(indices, channels, group) else "it moves channels across groups"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Put the columns of the weight in the order of x."""
        weight, group = real(match, "weight"), match.attribute("conv", "group", 1)
        width = weight.shape[1]
        orders = np.argsort(_indices(match, width * group).reshape(group, width), axis=1)
        rows = weight.reshape(group, -1, *weight.shape[1:])
        moved = np.stack([part[:, order] for part, order in zip(rows, orders, strict=True)]).reshape(weight.shape)
        inputs = [match["x"], new_weight(match, build, moved), match.get("bias")]
        return build.like(match.node("conv"), inputs)


def _is_of_channels(match: Match) -> bool:
    return match.attribute("gather", "axis", 0) in (1, 1 - match.constant("weight").ndim)


def _indices(match: Match, channels: int) -> Indices:
    """Return the channels that are chosen, counted from the front."""
    indices = match.constant("indices").astype(np.int64)
    return np.where(indices < 0, indices + channels, indices)


def _keeps_groups(indices: Indices, channels: int, group: int) -> bool:
    """Whether equally many of the channels of each group are chosen, one group after the other."""
    if not len(indices) or len(indices) % group:
        return False
    into = np.arange(len(indices)) // (len(indices) // group)
    return bool((indices // (channels // group) == into).all())


def _attributes(node: ir.Node) -> dict[str, int | str | tuple[int, ...]]:
    return {name: attribute.value for name, attribute in node.attributes.items()}
