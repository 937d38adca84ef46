"""Views: Reshape, Flatten, Squeeze and Unsqueeze keep the elements in their order and differ in shape only.

The canonical form of a chain of views is nothing where the shape comes back, else one view: a Reshape with a
constant target, written as infer-shapes writes it (0 for a dimension that stays in its place, one -1 for what
is left), or one Squeeze or Unsqueeze where no such target exists. A view that stands alone stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import same_dim, same_shape
from graphopt.rewrite import Builder, Match, Refused, Rule, op, optional, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import (
    Dim,
    dims,
    integers,
    is_identity,
    maker,
    permutation,
    reads,
)

VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_BY_AXES = ("Squeeze", "Unsqueeze")
AXES_ARE_AN_INPUT = 13
"""The opset since which Squeeze and Unsqueeze take their axes as an input."""


class ViewOfView(Rule):
    """view₂(view₁(x)) = view(x): only the last shape counts; x itself where it has that shape."""

    pattern: ClassVar[Op] = op(*VIEWS)(var("x"), optional(var("setting")), name="view", where=reads(*VIEWS))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Go from what the first view reads to the last shape."""
        outer, (inner, source) = match.root, maker(match["x"])
        if same_shape(source, outer.outputs[0]) or _undoes(inner, outer):
            return source
        target = _own_target(outer) or reshape_target(dims(source), dims(outer.outputs[0]))
        if target is not None:
            return build.op("Reshape", source, build.constant("shape", np.array(target, np.int64)))
        axes = _merged_axes(inner, outer)
        if axes is None:
            raise Refused("only a run decides all dimensions of the two views together")
        if match.opset < AXES_ARE_AN_INPUT:
            return build.op(outer.op_type, source, axes=axes)
        return build.op(outer.op_type, source, build.constant("axes", np.array(axes, np.int64)))


def _target_of_ones(node: ir.Node) -> list[int]:
    """Return the target of a Reshape for a Transpose that moves dimensions of size 1 alone, empty for others."""
    perm, source = permutation(node), dims(node.inputs[0])
    if perm is None or source is None or is_identity(perm) or len(perm) != len(source):
        return []
    kept = [axis for axis in perm if source[axis] != 1]
    return reshape_target(source, [source[axis] for axis in perm]) or [] if kept == sorted(kept) else []


class TransposeOfOnes(Rule):
    """Transpose(x) = Reshape(x) if only dimensions of size 1 change places: no element moves.

    Such a Transpose may still cancel another one further down, so sinking goes first.
    """

    pattern: ClassVar[Op] = op.Transpose(var("x"), name="transpose", where=lambda node: bool(_target_of_ones(node)))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """State the new shape."""
        target = np.array(_target_of_ones(match.root), np.int64)
        return build.op("Reshape", match["x"], build.constant("shape", target))


def reshape_target(source: Sequence[Dim] | None, result: Sequence[Dim] | None) -> list[int] | None:
    """Write the target of a Reshape from one shape to another, or None if no constant can say it.

    As everywhere in ONNX, -1 asks that no other dimension be 0 at run time; one that is known to be refuses.
    """
    if result is None or 0 in result:
        return None
    kept = {axis for axis, (dim, own) in enumerate(zip(result, source or (), strict=False)) if same_dim(dim, own)}
    target = [dim if isinstance(dim, int) else 0 if axis in kept else -1 for axis, dim in enumerate(result)]
    return target if target.count(-1) <= 1 else None


def _own_target(node: ir.Node) -> list[int] | None:
    """Return the constant target of a Reshape if it says nothing of the input's dimensions."""
    target = integers(node, "shape", 1) if node.op_type == "Reshape" else None
    return None if target is None or 0 in target else list(target)


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes of a Squeeze or Unsqueeze from the front, in the order of the longer shape."""
    axes = integers(node, "axes", 1)
    longer = dims(node.outputs[0] if node.op_type == "Unsqueeze" else node.inputs[0])
    if axes is None or (longer is None and any(axis < 0 for axis in axes)):
        return None
    return tuple(sorted(axis if axis >= 0 or longer is None else axis + len(longer) for axis in axes))


def _undoes(inner: ir.Node, outer: ir.Node) -> bool:
    """Squeeze(Unsqueeze(x, axes), axes) = x, whatever the shape."""
    if (inner.op_type, outer.op_type) != ("Unsqueeze", "Squeeze"):
        return False
    return _axes(inner) is not None and _axes(inner) == _axes(outer)


def _merged_axes(inner: ir.Node, outer: ir.Node) -> list[int] | None:
    """Return the axes of one Squeeze or Unsqueeze that does what two do, or None."""
    if inner.op_type != outer.op_type or outer.op_type not in _BY_AXES:
        return None
    first, second = _axes(inner), _axes(outer)
    if first is None or second is None:
        return None
    if outer.op_type == "Unsqueeze":
        return sorted([*second, *(_shifted(axis, second) for axis in first)])
    return sorted([*first, *(_shifted(axis, first) for axis in second)])


def _shifted(axis: int, taken: Sequence[int]) -> int:
    """Return where an axis of the shorter shape is in the one that has `taken` besides."""
    for other in sorted(taken):
        axis += other <= axis
    return axis
