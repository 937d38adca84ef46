"""Transposed factors of matrix products: a Gemm reads them as they are, and weights have rows in any order.

The transpose of a row or a column moves no element, so it may be written as a Reshape.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import same_dim
from graphopt.rewrite import Builder, Match, Rule, const, either, op, optional, since, var
from graphopt.rewrite.affine import real
from graphopt.rewrite.pattern import Either
from passes.fold_linear.products import refuse_gemm
from passes.fold_linear.weights import is_real, new_weight


def _swaps(node: ir.Node) -> bool:
    """Whether a Transpose of a matrix swaps its axes, as it does by default."""
    return tuple(node.attributes.get_ints("perm", (1, 0))) == (1, 0)


def _turns(node: ir.Node) -> bool:
    """Whether a Reshape makes a row of a column, or a column of a row."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or x.shape is None or y.shape is None or len(x.shape) != 2 or len(y.shape) != 2 or x.shape == y.shape:
        return False
    return 1 in x.shape and same_dim(x.shape[0], y.shape[1]) and same_dim(x.shape[1], y.shape[0])


_SWAPPED = either(op.Transpose(var("swapped"), where=_swaps), op.Reshape(var("swapped"), var("shape"), where=_turns))


class TransposeThenGemm(Rule):
    """α·(aᵀ)@b + β·c, or with bᵀ: the Gemm transposes, or does no longer."""

    pattern: ClassVar[Either] = either(
        op.Gemm(_SWAPPED, var("b"), optional(var("c")), name="gemm"),
        op.Gemm(var("a"), _SWAPPED, optional(var("c")), name="gemm"),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Turn transA or transB."""
        attribute = "transA" if "b" in match else "transB"
        turned = 1 - match.attribute("gemm", attribute, 0)
        factors = [match["swapped"], match["b"]] if "b" in match else [match["a"], match["swapped"]]
        return build.like(match.node("gemm"), [*factors, match.get("c")], **{attribute: turned or None})


class TransposeThenMatMul(Rule):
    """(aᵀ)@b and a@(bᵀ) are a Gemm, for matrices; since opset 11, where a Gemm needs no third input."""

    opsets: ClassVar[range] = since(11)
    pattern: ClassVar[Either] = either(
        op.MatMul(_SWAPPED, var("b"), name="matmul"), op.MatMul(var("a"), _SWAPPED, name="matmul")
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no product of matrices."""
        return refuse_gemm(*match.node("matmul").inputs)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Let a Gemm transpose."""
        if "b" in match:
            return build.op("Gemm", match["swapped"], match["b"], transA=1)
        return build.op("Gemm", match["a"], match["swapped"], transB=1)


def _keeps_batch(node: ir.Node) -> bool:
    return tuple(node.attributes.get_ints("perm", ()))[:1] == (0,)


_FLATTENED = op("Reshape", "Flatten")(
    op.Transpose(var("x"), name="transpose", where=_keeps_batch), optional(var("")), name="view"
)


def _features(x: ir.Value) -> tuple[int, ...] | None:
    """Return the sizes of all dimensions but the batch, if they are known."""
    known = [] if x.shape is None else [dim for dim in x.shape[1:] if isinstance(dim, int)]
    return tuple(known) if x.shape is not None and len(known) == len(x.shape) - 1 else None


class FlattenedThenProduct(Rule):
    """flatten(Transpose(x, p))@w = flatten(x)@w', the rows of w in the order of x, if p keeps the batch [0]."""

    pattern: ClassVar[Either] = either(
        op.MatMul(_FLATTENED, const("weight", is_real), name="product"),
        op.Gemm(_FLATTENED, const("weight", is_real), optional(var("bias")), name="product", transA=0),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what does not flatten all but the batch into the rows of a matrix."""
        x, view, weight = match["x"].shape, match.node("view").outputs[0].shape, match.constant("weight")
        features = _features(match["x"])
        if x is None or features is None:
            return f"{match['x'].name!r} is not known to be of one size in all but the batch"
        rows, size = weight.shape[1 if match.attribute("product", "transB", 0) else 0], prod(features)
        if view is None or len(view) != weight.ndim or weight.ndim != 2 or not same_dim(x[0], view[0]) or rows != size:
            return "what it multiplies is not known to be the flattened batch"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Put the rows of the weight in the order of x, and flatten that."""
        weight, perm = real(match, "weight"), match.attribute("transpose", "perm", ())
        turned = match.attribute("product", "transB", 0)
        rows = weight.T if turned else weight
        features = _features(match["x"]) or ()
        order = np.arange(rows.shape[0]).reshape(features).transpose([axis - 1 for axis in perm[1:]])
        moved = rows[np.argsort(order, axis=None)]
        new = new_weight(match, build, moved.T if turned else moved)
        flat, old = build.op("Flatten", match["x"]), match.node("view").outputs[0]
        flat.type, flat.shape = old.type, None if old.shape is None else old.shape.copy()
        return build.like(match.node("product"), [flat, new, match.get("bias")])
