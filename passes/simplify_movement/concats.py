"""Concats of Concats, of nothing, and of the parts of one value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import same_shape
from graphopt.rewrite import Builder, Match, Rule, op, rest
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import axis_of, producer, size
from passes.simplify_movement.slices import build_slice, is_slice_along, meet


def _has_one_reader(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _parts(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None]


def _nested(node: ir.Node) -> list[ir.Value] | None:
    """Return the parts of a Concat with those of all Concats in it that nothing else reads; None without any.

    None too where the Concat is itself in another one, so that a chain of them is taken apart once.
    """
    axis = axis_of(node)
    if axis is None or any(_joins(node.outputs[0], reader) for reader in node.outputs[0].consumers()[:1]):
        return None
    flat, pending = list[ir.Value](), _parts(node)[::-1]
    while pending:
        part = pending.pop()
        inner = producer(part, "Concat") if _joins(part, node) else None
        if inner is None:
            flat.append(part)
        else:
            pending.extend(_parts(inner)[::-1])
    return flat if len(flat) != len(node.inputs) else None


def _joins(part: ir.Value, reader: ir.Node) -> bool:
    """Whether a value is made by a Concat along the axis of a Concat, the one reader that it leads to."""
    inner = producer(part, "Concat")
    if inner is None or producer(reader.outputs[0], "Concat") is None or inner.graph is not reader.graph:
        return False
    return _has_one_reader(part) and axis_of(inner) is not None and axis_of(inner) == axis_of(reader)


class ConcatOfConcat(Rule):
    """Concat(a, Concat(b, c), d) = Concat(a, b, c, d) along one axis, if nothing else reads the inner one."""

    pattern: ClassVar[Op] = op.Concat(rest("parts"), name="concat", where=lambda node: _nested(node) is not None)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """List all the parts."""
        return build.like(match.root, _nested(match.root) or match.rest("parts"))


def _filled(node: ir.Node) -> list[ir.Value]:
    """Return the parts of a Concat that are not known to be of length 0 along its axis."""
    axis = axis_of(node)
    return [part for part in _parts(node) if axis is None or size(part, axis) != 0]


class ConcatOfNothing(Rule):
    """Concat(a, x, b) = Concat(a, b) if x has length 0 along the axis, and is not all there is."""

    pattern: ClassVar[Op] = op.Concat(
        rest("parts"), name="concat", where=lambda node: 0 < len(_filled(node)) < len(node.inputs)
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Leave the empty parts out."""
        return _joined(match, build, _filled(match.root))


def _split(node: ir.Node) -> ir.Value | None:
    """Return what a Split along the same axis was given, if a Concat puts all its outputs together again."""
    split = producer(node.inputs[0], "Split")
    whole = split is not None and list(split.outputs) == list(node.inputs)
    if split is None or not whole or axis_of(node) is None or axis_of(split) != axis_of(node):
        return None
    return split.inputs[0]


class ConcatOfSplit(Rule):
    """Concat(Split(x)) = x, along one axis."""

    pattern: ClassVar[Op] = op.Concat(rest("parts"), name="concat", where=lambda node: _split(node) is not None)

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing is built)
        """Leave what was split."""
        return _split(match.root) or match.rest("parts")[0]


def _neighbours(node: ir.Node) -> Iterator[tuple[int, ir.Value, int, slice]]:
    """Yield where two parts of a Concat are adjacent slices of one value: that, the axis and the bounds of both."""
    axis, parts = axis_of(node), _parts(node)
    for index, (left, right) in enumerate(pairwise(parts)):
        first, second = producer(left, "Slice"), producer(right, "Slice")
        if first is None or second is None or axis is None or first.inputs[0] is not second.inputs[0]:
            continue
        kept, following, source = is_slice_along(first, axis), is_slice_along(second, axis), first.inputs[0]
        if kept and following and source and meet(kept, following) and _has_one_reader(left) and _has_one_reader(right):
            yield index, source, axis, slice(kept.start, following.stop, 1)


class ConcatOfSlices(Rule):
    """Concat(…, x[a:b], x[b:c], …) = Concat(…, x[a:c], …), if nothing else reads the two."""

    pattern: ClassVar[Op] = op.Concat(rest("parts"), name="concat", where=lambda node: any(_neighbours(node)))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Slice once."""
        parts, (index, source, axis, kept) = match.rest("parts"), next(_neighbours(match.root))
        if kept.start == 0 and same_shape(source, match.root.outputs[0]) and len(parts) == 2:
            return source
        part = build_slice(build, match.opset, source, {axis: kept})
        return _joined(match, build, [*parts[:index], part, *parts[index + 2 :]])


def _joined(match: Match, build: Builder, parts: Sequence[ir.Value]) -> ir.Value:
    return parts[0] if len(parts) == 1 else build.like(match.root, parts)
