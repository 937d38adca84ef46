"""Gathers by constant indices, of what was just chosen, cut or put together along the same axis."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.rewrite import Builder, Match, Refused, Rule, const, op, optional, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import axis_of, input_of, maker, producer, reads, size
from passes.simplify_movement.slices import is_slice_along

Indices = npt.NDArray[np.int64]


def _indices(node: ir.Node) -> Indices | None:
    indices = constant(input_of(node, 1))
    return None if indices is None else indices.astype(np.int64)


def _list(node: ir.Node | None) -> Indices | None:
    """Return the indices of a Gather by a constant list."""
    indices = None if node is None else _indices(node)
    return None if indices is None or indices.ndim != 1 else indices


def _chosen(outer: ir.Node) -> Indices | None:
    """Return the indices into what the node before a Gather reads: another Gather, or a Slice, along its axis."""
    indices, axis = _indices(outer), axis_of(outer)
    inner = producer(outer.inputs[0], "Gather", "Slice")
    if inner is None or indices is None or axis is None:
        return None
    available = _list(inner) if inner.op_type == "Gather" and axis_of(inner) == axis else _cut(inner, axis)
    if available is None or not indices.size or not _fits(indices, len(available)):
        return None
    return np.asarray(available[indices])


def _cut(node: ir.Node, axis: int) -> Indices | None:
    """Return what a Slice along one axis keeps, where the size of that is known."""
    kept = is_slice_along(node, axis) if node.op_type == "Slice" else None
    length = size(node.inputs[0], axis)
    return None if kept is None or length is None else np.arange(length, dtype=np.int64)[kept]


def _fits(indices: Indices, length: int) -> bool:
    return bool(-length <= indices.min() and indices.max() < length)


class GatherOfChoice(Rule):
    """Gather(Gather(x, i), j) = Gather(x, i[j]), along one axis; a Slice is a list of indices as well."""

    pattern: ClassVar[Op] = op.Gather(var("x"), const("indices"), name="outer", where=reads("Gather", "Slice"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Choose once."""
        indices, (_, source) = _chosen(match.root), maker(match["x"])
        if indices is None:
            raise Refused("it does not choose along the axis, of known places, that was chosen from before")
        return build.like(match.root, [source, build.constant("indices", indices)])


def _left(node: ir.Node) -> Indices | None:
    """Return the indices of a Gather that a Slice along its axis alone keeps."""
    inner = producer(node.inputs[0], "Gather")
    axis, indices = None if inner is None else axis_of(inner), _list(inner)
    kept = None if axis is None else is_slice_along(node, axis)
    return None if indices is None or kept is None or not indices[kept].size else indices[kept]


class SliceOfGather(Rule):
    """Gather(x, i)[a:b] = Gather(x, i[a:b]), along one axis."""

    pattern: ClassVar[Op] = op.Slice(
        var("x"),
        *(optional(const(name)) for name in ("starts", "ends", "axes", "steps")),
        name="slice",
        where=reads("Gather"),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Choose less."""
        indices, (inner, source) = _left(match.root), maker(match["x"])
        axis = axis_of(inner)
        if indices is None or axis is None:
            raise Refused("it does not cut the list of indices before it")
        return build.op("Gather", source, build.constant("indices", indices), axis=axis)


def _part(node: ir.Node) -> tuple[ir.Value, Indices] | None:
    """Return the one part of a Concat that a Gather along its axis reads, and the indices in that."""
    concat, indices, axis = producer(node.inputs[0], "Concat"), _indices(node), axis_of(node)
    if concat is None or indices is None or axis is None or axis_of(concat) != axis or not indices.size:
        return None
    whole = size(concat.outputs[0], axis)
    if indices.min() < 0 and whole is None:
        return None
    numbers = indices + np.where(indices < 0, whole or 0, 0)
    offset = 0
    for part in concat.inputs:
        length = size(part, axis)
        if part is None or length is None:
            return None
        if offset <= numbers.min() and numbers.max() < offset + length:
            return part, np.asarray(numbers - offset)
        offset += length
    return None


class GatherOfConcat(Rule):
    """Gather(Concat(…, xₖ, …), i) = Gather(xₖ, i - o) if all indices lie in xₖ, which begins at o."""

    pattern: ClassVar[Op] = op.Gather(var("x"), const("indices"), name="gather", where=reads("Concat"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Choose from that part."""
        found = _part(match.root)
        if found is None:
            raise Refused("its indices are not known to lie in one part")
        part, indices = found
        return build.like(match.root, [part, build.constant("indices", indices)])
