"""The axes of a reduction: an attribute up to opset 12 (ReduceSum) or 17 (the others), an input from then on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.rewrite import Builder, Match, op, optional, var
from graphopt.rewrite.pattern import Op, Pattern

_IMAGE = 4
"""The least rank of [batch, channels, height, width]."""

_AXES_ARE_INPUT = 18
"""The opset from which every reduction takes its axes as an input."""


def reduction(op_type: str, x: Pattern, name: str = "reduction", keepdims: int | None = None) -> Op:
    """Match a reduction of x, with its axes as an attribute or an input."""
    attributes = {} if keepdims is None else {"keepdims": keepdims}
    return op(op_type)(x, optional(var("")), name=name, **attributes)


def axes_of(node: ir.Node) -> list[int] | None:
    """Return the axes as they are written, [] for all of them, or None where they are not known."""
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        array = constant(node.inputs[1])
        if array is None:
            return None
        axes = [int(axis) for axis in array.reshape(-1)]
    else:
        axes = list(node.attributes.get_ints("axes", ()))
    # Without axes, noop_with_empty_axes asks for none instead of all.
    return None if not axes and node.attributes.get_int("noop_with_empty_axes", 0) == 1 else axes


def positive_axes(node: ir.Node, rank: int | None) -> list[int] | None:
    """Return the sorted axes of a tensor of that rank, or None where they are not known or it has none."""
    axes = axes_of(node)
    if axes is None or not rank:
        return None
    return sorted(axis % rank for axis in axes) if axes else list(range(rank))


def covers_image(node: ir.Node) -> bool:
    """Whether a reduction is over every axis from the third on, of four dimensions or more."""
    rank = rank_of(node.inputs[0])
    return rank is not None and is_image(positive_axes(node, rank), rank)


def is_image(axes: list[int] | None, rank: int) -> bool:
    """Whether axes are those of the pixels of [batch, channels, height, width, …]."""
    return rank >= _IMAGE and axes == list(range(2, rank))


def reduce(match: Match, build: Builder, op_type: str, name: str = "reduction") -> ir.Value:
    """Write another reduction of `x` along the axes of a matched one."""
    axes, keepdims = axes_of(match.node(name)) or [], match.attribute(name, "keepdims", 1)
    if not axes:
        return build.op(op_type, match["x"], keepdims=keepdims)
    if match.opset < _AXES_ARE_INPUT:
        return build.op(op_type, match["x"], axes=axes, keepdims=keepdims)
    return build.op(op_type, match["x"], build.constant("axes", _integers(axes)), keepdims=keepdims)


def rank_of(value: ir.Value | None) -> int | None:
    """Return the rank of a value, or None where it is not known."""
    return None if value is None or value.shape is None else len(value.shape)


def _integers(axes: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(axes, np.int64)
