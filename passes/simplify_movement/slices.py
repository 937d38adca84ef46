"""Slices of slices, slices of what was just put together, and indices that are a slice.

A slice is a mapping from axis to Python's `slice`, which clamps bounds as Slice-13 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.rewrite import Builder, Match, Refused, Rule, const, op, optional, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import (
    TO_THE_END,
    axis_of,
    has_setting,
    input_of,
    integers,
    maker,
    normalized,
    producer,
    rank,
    reads,
    size,
)

Bounds = Mapping[int, slice]

BOUNDS_ARE_INPUTS = 10
"""The opset since which Slice takes its bounds as inputs, and steps."""
_BEFORE_THE_START = -(2**63) + 1
_BOUNDS = tuple(optional(const(name)) for name in ("starts", "ends", "axes", "steps"))


def bounds(node: ir.Node) -> Bounds | None:
    """Return what a Slice keeps of each axis it names, from the front, or None if that is not constant."""
    starts, ends = integers(node, "starts", 1), integers(node, "ends", 2)
    if starts is None or ends is None:
        return None
    axes = integers(node, "axes", 3) if has_setting(node, "axes", 3) else tuple(range(len(starts)))
    steps = integers(node, "steps", 4) if has_setting(node, "steps", 4) else (1,) * len(starts)
    if axes is None or steps is None or 0 in steps:
        return None
    known = [axis for axis in (normalized(axis, rank(node.inputs[0])) for axis in axes) if axis is not None]
    if len(known) != len(starts):
        return None
    return dict(zip(known, map(slice, starts, ends, steps), strict=True))


def build_slice(build: Builder, opset: int, x: ir.Value, kept: Bounds) -> ir.Value:
    """Build a Slice in the form of the opset; before opset 10 there are no steps, so that none come here."""
    axes = sorted(kept)
    starts, ends, steps = ([getattr(kept[axis], part) for axis in axes] for part in ("start", "stop", "step"))
    if opset < BOUNDS_ARE_INPUTS:
        return build.op("Slice", x, starts=starts, ends=ends, axes=axes)
    named = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    if set(steps) == {1}:
        del named["steps"]
    return build.op("Slice", x, *(build.constant(name, np.array(part, np.int64)) for name, part in named.items()))


def _composed(first: slice, second: slice, length: int | None) -> slice | None:
    """Return the slice that takes `second` of what `first` leaves of an axis, or None if that depends on its size."""
    if length is not None:
        kept = range(length)[first][second]
        if not kept:
            return slice(0, 0, 1)
        return slice(kept.start, _BEFORE_THE_START if kept.stop < 0 else kept.stop, kept.step)
    numbers = (first.start, first.stop, second.start, second.stop)
    if first.step != 1 or second.step != 1 or min(numbers) < 0:
        return None
    stop = min(first.stop, first.start + second.stop)
    return slice(min(first.start + second.start, stop), stop, 1)


def _merged(outer: ir.Node) -> Bounds | None:
    """Return the bounds of one Slice that does what two do."""
    inner = producer(outer.inputs[0], "Slice")
    first, second = None if inner is None else bounds(inner), bounds(outer)
    if inner is None or first is None or second is None:
        return None
    merged = {**first, **second}
    for axis in first.keys() & second.keys():
        both = _composed(first[axis], second[axis], size(inner.inputs[0], axis))
        if both is None:
            return None
        merged[axis] = both
    return merged


class SliceOfSlice(Rule):
    """x[a:b][c:d] = x[a+c : min(b, a+d)]; each axis by itself, negative bounds and steps where its size is known."""

    pattern: ClassVar[Op] = op.Slice(
        var("x"),
        *_BOUNDS,
        name="slice",
        where=reads("Slice"),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Slice what the first one reads."""
        merged, (_, source) = _merged(match.root), maker(match["x"])
        if merged is None:
            raise Refused("its bounds depend on the size of an axis")
        return build_slice(build, match.opset, source, merged)


def _part(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    """Return the one part of a Concat that a Slice reads, and the bounds in that; (part, {}) if it is all of it."""
    concat, kept = producer(node.inputs[0], "Concat"), bounds(node)
    axis = None if concat is None else axis_of(concat)
    if concat is None or kept is None or axis is None or axis not in kept or kept[axis].step != 1:
        return None
    start, stop, offset = kept[axis].start, kept[axis].stop, 0
    if start < 0 or stop < 0:
        whole = size(concat.outputs[0], axis)
        if whole is None:
            return None
        start, stop, _ = kept[axis].indices(whole)
    for part in concat.inputs:
        length = size(part, axis)
        if part is None or length is None:
            return None
        if offset <= start < stop <= offset + length:
            others = {other: bound for other, bound in kept.items() if other != axis}
            own = {} if stop - start == length else {axis: slice(start - offset, stop - offset, 1)}
            return part, {**others, **own}
        offset += length
    return None


class SliceOfConcat(Rule):
    """Concat(…, xᵢ, …)[a:b] = xᵢ[a-o : b-o] if all of a to b lies in xᵢ, which begins at o."""

    pattern: ClassVar[Op] = op.Slice(
        var("x"),
        *_BOUNDS,
        name="slice",
        where=reads("Concat"),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Slice that part, or take it whole."""
        found = _part(match.root)
        if found is None:
            raise Refused("its bounds are not known to lie in one part")
        part, kept = found
        return build_slice(build, match.opset, part, kept) if kept else part


def _run(node: ir.Node) -> Bounds:
    """Return the bounds of consecutive indices along an axis of known size, or none."""
    indices, axis = constant(input_of(node, 1)), axis_of(node)
    length = None if axis is None else size(node.inputs[0], axis)
    if indices is None or indices.ndim != 1 or not indices.size or axis is None or length is None:
        return {}
    numbers = [int(index) + length * (int(index) < 0) for index in indices]
    run = range(numbers[0], numbers[-1] + 1)
    if numbers != list(run) or run.start < 0 or run.stop > length:
        return {}
    return {axis: slice(run.start, run.stop, 1)}


class GatherOfRun(Rule):
    """Gather(x, [a, a+1, …, b-1]) = x[a:b]; a scalar index drops its axis, and stays a Gather."""

    pattern: ClassVar[Op] = op.Gather(var("x"), const("indices"), name="gather", where=lambda node: bool(_run(node)))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Slice along the axis."""
        return build_slice(build, match.opset, match["x"], _run(match.root))


def is_slice_along(node: ir.Node, axis: int) -> slice | None:
    """Return the bounds of a Slice along this axis alone, forward by steps of one."""
    kept = bounds(node)
    if kept is None or set(kept) != {axis} or kept[axis].step != 1:
        return None
    return kept[axis]


def meet(left: slice, right: slice) -> bool:
    """Whether x[left] and x[right] put together are x[left.start : right.stop], whatever the size of the axis."""
    if left.stop != right.start:
        return False
    whole = left.start == 0 and right.stop >= TO_THE_END
    return whole or bool(0 <= left.start <= left.stop <= right.stop)
