"""A reduction of a reduction of the same kind is one over the axes of both.

Exact for ReduceMax and ReduceMin, and for sums and products of integers. Sums of floating-point numbers may be
added in another order, which ReduceSum leaves open; a mean of means is the mean, since all groups have one size.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Refused, Rule, const, either, op, optional, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.simplify_algebra.values import is_float

_AXES_ARE_INPUT = {"ReduceMax": 18, "ReduceMean": 18, "ReduceMin": 18, "ReduceProd": 18, "ReduceSum": 13}
"""The opset in which axes became an input, by operator."""


def _reduction(op_type: str, x: Pattern, name: str) -> Op:
    return op(op_type)(x, optional(const(f"{name}.axes")), name=name)


class ReduceTwice(Rule):
    """reduce(reduce(x, A), B) = reduce(x, A ∪ B), with B counted on the axes of x."""

    pattern: ClassVar[Either] = either(
        *(_reduction(op_type, _reduction(op_type, var("x"), "first"), "second") for op_type in _AXES_ARE_INPUT)
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse an unknown rank, means that round, and a shape that one reduction cannot make."""
        if match["x"].shape is None:
            return f"the rank of {match['x'].name!r} is unknown"
        if match.root.op_type == "ReduceMean" and not is_float(match["x"]):
            return "a mean of integers is rounded each time"
        if match.attribute("first", "keepdims", 1) == match.attribute("second", "keepdims", 1):
            return None
        return "only one of them keeps the axes that it reduces"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Reduce all axes at once."""
        shape, keepdims = match["x"].shape, match.attribute("second", "keepdims", 1)
        rank = 0 if shape is None else len(shape)
        first = _axes(match, "first", list(range(rank)))
        left = list(range(rank)) if keepdims else [axis for axis in range(rank) if axis not in first]
        axes = sorted({*first, *_axes(match, "second", left)})
        if match.opset < _AXES_ARE_INPUT[match.root.op_type]:
            return build.like(match.root, [match["x"]], axes=axes)
        return build.like(match.root, [match["x"], build.constant("axes", np.array(axes, np.int64))])


def _axes(match: Match, name: str, available: list[int]) -> list[int]:
    """Return the axes of x that a reduction takes, of those that it is given."""
    key = f"{name}.axes"
    given = match.constant(key).ravel().tolist() if key in match else list(match.attribute(name, "axes", ()))
    if given:
        return [available[axis] for axis in given]
    if match.attribute(name, "noop_with_empty_axes", 0):
        raise Refused("one of them reduces nothing")
    return available
