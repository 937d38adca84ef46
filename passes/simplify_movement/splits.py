"""Splits of what was just put together, and Splits of which one part is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dead import is_unread
from graphopt.rewrite import Builder, Match, Refused, Rule, op, optional, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import axis_of, integers, producer, reads, size
from passes.simplify_movement.slices import build_slice


def _sizes(node: ir.Node) -> list[int] | None:
    """Return the length of each output of a Split along its axis, if all are known."""
    given, axis = integers(node, "split", 1), axis_of(node)
    if given is not None:
        return list(given)
    known = [] if axis is None else [size(output, axis) for output in node.outputs]
    lengths = [length for length in known if length is not None]
    return lengths if len(lengths) == len(node.outputs) else None


def _parts(node: ir.Node) -> Sequence[ir.Value] | None:
    """Return the parts of a Concat along the same axis that are the outputs of a Split, or None."""
    concat, axis = producer(node.inputs[0], "Concat"), axis_of(node)
    if concat is None or axis is None or axis_of(concat) != axis:
        return None
    parts = [value for value in concat.inputs if value is not None]
    return parts if [size(part, axis) for part in parts] == _sizes(node) else None


class SplitOfConcat(Rule):
    """Split(Concat(a, b, c)) = a, b, c if it cuts where they meet."""

    pattern: ClassVar[Op] = op.Split(var("x"), optional(var("sizes")), name="split", where=reads("Concat"))

    def replace(self, match: Match, build: Builder) -> Sequence[ir.Value]:  # noqa: ARG002 (nothing is built)
        """Leave the parts."""
        parts = _parts(match.root)
        if parts is None:
            raise Refused("it is not known to cut where the parts meet")
        return parts


def _only_read(node: ir.Node) -> tuple[int, slice] | None:
    """Return which output of a Split is the only one read, and its bounds, or None."""
    sizes, read = _sizes(node), [index for index, output in enumerate(node.outputs) if not is_unread(output)]
    if sizes is None or len(read) != 1 or len(node.outputs) == 1:
        return None
    start = sum(sizes[: read[0]])
    return read[0], slice(start, start + sizes[read[0]], 1)


class SplitForOnePart(Rule):
    """Split(x)ᵢ = x[a:b] if no other output is read."""

    pattern: ClassVar[Op] = op.Split(
        var("x"), optional(var("sizes")), name="split", where=lambda node: _only_read(node) is not None
    )

    def replace(self, match: Match, build: Builder) -> Sequence[ir.Value]:
        """Slice; the outputs before it, which nothing reads, stand for themselves."""
        found, axis = _only_read(match.root), axis_of(match.root)
        if found is None or axis is None:
            raise Refused("the axis of the Split cannot be told")
        index, kept = found
        return [*match.root.outputs[:index], build_slice(build, match.opset, match["x"], {axis: kept})]
