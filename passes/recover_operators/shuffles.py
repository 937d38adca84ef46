"""Shuffles of channels, spelled as Reshape, Transpose, Reshape.

ShuffleNet (Zhang et al., 2018, figure 1) sees x[N, g·n, H, W] as [N, g, n, H, W], swaps g and n, and sees the result
as x was. Whatever the view, a permutation of axes that splits one axis into parts, moves those alone and puts them
together again is a list of indices into that axis (ONNX operator spec, Gather-1). The elements are moved, so that
the answer is the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.dims import same_dim, same_shape
from graphopt.rewrite import Builder, Match, Rule, op, var
from graphopt.rewrite.pattern import Op

Dim = int | ir.SymbolicDim

LARGEST = 8192
"""The longest axis that is indexed: 64 KiB of indices."""


def _moved_axes(node: ir.Node) -> range | None:
    """Return the axes from the first to the last that a Transpose moves; None if it moves none or does not say."""
    perm = node.attributes.get_ints("perm", ())
    moved = [axis for axis, source in enumerate(perm) if axis != source]
    return range(moved[0], moved[-1] + 1) if moved else None


def _moves(node: ir.Node) -> bool:
    return _moved_axes(node) is not None


class Shuffle(Rule):
    """Reshape(Transpose(Reshape(x))) = Gather(x, indices), if it moves the parts of one axis among themselves."""

    pattern: ClassVar[Op] = op.Reshape(
        op.Transpose(op.Reshape(var("x"), var(""), name="view"), name="transpose", where=_moves), var("")
    )
    stage: ClassVar[int] = 1  # after DepthToSpace, which begins alike

    def refuse(self, match: Match) -> str | None:
        """Refuse what moves elements between axes, or along one that is too long for a list of indices."""
        if not same_shape(match["x"], match.root.outputs[0]):
            return "it gives another shape than it takes, or one that is not known"
        if _axis(match) is None:
            return "it permutes more than one axis of known size"
        length = prod(_parts(match))
        return f"a list of {length:,} indices would be long" if length > LARGEST else None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """List the indices."""
        axis = _axis(match) or 0
        return build.op("Gather", match["x"], build.constant("order", _indices(match)), axis=axis)


def _parts(match: Match) -> tuple[int, ...]:
    """Return the sizes of the parts that move, () where one of them is not known."""
    view, moved = match.node("view").outputs[0].shape, _moved_axes(match.node("transpose"))
    if view is None or moved is None:
        return ()
    sizes = [dim for dim in view[moved.start : moved.stop] if isinstance(dim, int)]
    return tuple(sizes) if len(sizes) == len(moved) else ()


def _axis(match: Match) -> int | None:
    """Return the axis of x that the view splits into the parts that move.

    With the elements before an axis as many as before the parts, and those along it as many as in the parts, as
    many are left behind both; or with those behind, before both.
    """
    x, view, moved, parts = (
        match["x"].shape,
        match.node("view").outputs[0].shape,
        _moved_axes(match.node("transpose")),
        _parts(match),
    )
    if x is None or view is None or moved is None or not parts:
        return None
    for axis, dim in enumerate(x):
        before = _as_many(x[:axis], view[: moved.start])
        if dim == prod(parts) and (before or _as_many(x[axis + 1 :], view[moved.stop :])):
            return axis
    return None


def _as_many(left: Iterable[Dim], right: Iterable[Dim]) -> bool:
    """Whether two runs of dimensions hold equally many elements, whatever the symbols stand for."""
    left, right = list(left), list(right)
    for dim in [dim for dim in left if not isinstance(dim, int)]:
        twin = next((other for other in right if same_dim(dim, other)), None)
        if twin is None:
            return False
        left.remove(dim)
        right.remove(twin)
    numbers = [dim for dim in right if isinstance(dim, int)]
    return len(numbers) == len(right) and prod(dim for dim in left if isinstance(dim, int)) == prod(numbers)


def _indices(match: Match) -> npt.NDArray[np.int64]:
    parts, moved = _parts(match), _moved_axes(match.node("transpose")) or range(0)
    perm = match.attribute("transpose", "perm", ())
    order = [perm[axis] - moved.start for axis in moved]
    return np.arange(prod(parts), dtype=np.int64).reshape(parts).transpose(order).ravel()
