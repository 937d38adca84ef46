"""DepthToSpace and SpaceToDepth, spelled as Reshape, Transpose, Reshape.

ONNX operator spec, DepthToSpace-13: x[N, b²·C, H, W] seen as [N, b, b, C, H, W] and permuted by 0, 3, 4, 1, 5, 2
(mode DCR), or seen as [N, C, b, b, H, W] and permuted by 0, 1, 4, 2, 5, 3 (mode CRD), is [N, C, b·H, b·W].
SpaceToDepth-13: x[N, C, b·H, b·W] seen as [N, C, H, b, W, b] and permuted by 0, 3, 5, 1, 2, 4 is
[N, b²·C, H, W]. The elements are moved, so that the answer is the same bit by bit.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import same_dim
from graphopt.rewrite import Builder, Match, Rule, const, op, since
from graphopt.rewrite.pattern import Op
from passes.recover_operators.spelling import real


def _moved(*permutation: int) -> Op:
    """Match a view of x, a permutation of it, and a view of that."""
    return op.Reshape(op.Transpose(op.Reshape(real(), const(), name="view"), perm=list(permutation)), const())


class _Blocks(Rule):
    """Blocks of b x b pixels, kept in channels or in place.

    Attributes:
        layout: what each dimension of the view after the batch is: channels c, height h, width w, the rows b
            and the columns B of a block.
        mode: the mode of DepthToSpace; empty for SpaceToDepth, which has none.

    """

    layout: ClassVar[str]
    mode: ClassVar[str] = ""

    def refuse(self, match: Match) -> str | None:
        """Refuse views that are not of square blocks."""
        shapes = [value.shape for value in (match["x"], match.node("view").outputs[0], match.root.outputs[0])]
        known = [shape for shape in shapes if shape is not None and _has_sizes(shape)]
        if len(known) < len(shapes):
            return "the sizes of its views are not known"
        x, view, result = known
        size = dict(zip(self.layout, map(_size, view[1:]), strict=True))
        deep = (size["b"] * size["B"] * size["c"], size["h"], size["w"])
        wide = (size["c"], size["h"] * size["b"], size["w"] * size["B"])
        expected = (deep, wide) if self.mode else (wide, deep)
        moves = (tuple(x[1:]), tuple(result[1:])) == expected and size["b"] == size["B"]
        return (
            None
            if moves and same_dim(x[0], view[0]) and same_dim(x[0], result[0])
            else "its views are not of square blocks"
        )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the operator."""
        view = match.node("view").outputs[0].shape
        size = _size(view[1 + self.layout.index("b")]) if view is not None else 0
        if not self.mode:
            return build.op("SpaceToDepth", match["x"], blocksize=size)
        return build.op("DepthToSpace", match["x"], blocksize=size, **({"mode": "CRD"} if self.mode == "CRD" else {}))


class DepthToSpace(_Blocks):
    """[N, b, b, C, H, W] by 0, 3, 4, 1, 5, 2 = DepthToSpace, mode DCR."""

    pattern: ClassVar[Op] = _moved(0, 3, 4, 1, 5, 2)
    layout: ClassVar[str] = "bBchw"
    mode: ClassVar[str] = "DCR"


class DepthToSpaceByColumns(_Blocks):
    """[N, C, b, b, H, W] by 0, 1, 4, 2, 5, 3 = DepthToSpace, mode CRD."""

    pattern: ClassVar[Op] = _moved(0, 1, 4, 2, 5, 3)
    layout: ClassVar[str] = "cbBhw"
    mode: ClassVar[str] = "CRD"
    opsets: ClassVar[range] = since(11)


class SpaceToDepth(_Blocks):
    """[N, C, H, b, W, b] by 0, 3, 5, 1, 2, 4 = SpaceToDepth."""

    pattern: ClassVar[Op] = _moved(0, 3, 5, 1, 2, 4)
    layout: ClassVar[str] = "chbwB"


def _has_sizes(shape: ir.Shape) -> bool:
    return len(shape) > 1 and all(isinstance(dim, int) for dim in shape[1:])


def _size(dim: int | ir.SymbolicDim) -> int:
    return dim if isinstance(dim, int) else 0
