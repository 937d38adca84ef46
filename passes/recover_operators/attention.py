"""Attention, spelled as two products with a softmax between (Vaswani et al., 2017, equation 1).

ONNX operator spec, Attention-23, function body: with q [B, H, S, D], k [B, H, T, D], v [B, H, T, V] and mask [S, T]
or [B or 1, H or 1, S, T], it is softmax((q·√scale)@(k·√scale)ᵀ + mask)@v. As [B, S, H·D] and so on, with the number
of heads as attributes, it moves the heads itself, there and back.

The scale is rounded elsewhere, in the last digits; a product that overflows before it is scaled no longer does.
Grouped heads, which MatMul cannot broadcast, and masks of other shapes, which the operator would pad, are left alone.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import same_dim
from graphopt.rewrite import Builder, Match, Rule, either, op, optional, since, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.recover_operators.spelling import number, value_of

_OPSET = 23
_HEADS_FORTH_AND_BACK = (0, 2, 1, 3)
"""[B, S, H, D] as [B, H, S, D], or the other way."""
_LAST_TWO_SWAPPED = (0, 1, 3, 2)
_RANK = 4
_NARROWEST_MASK = 2

_PLACES = ("q", "k", "kt", "scores")


def _scaled(x: Pattern, place: str) -> Either:
    """Match x, x·c or x/c."""
    return either(op.Mul(x, number(f"{place}.factor")), op.Div(x, number(f"{place}.divisor")), x)


_QUERIES = _scaled(var("q"), "q")
_KEYS = _scaled(op.Transpose(_scaled(var("k"), "k"), name="transpose"), "kt")
_SCORES = _scaled(op.MatMul(_QUERIES, _KEYS), "scores")


class Attention(Rule):
    """softmax(q@kᵀ·scale + mask)@v = Attention(q, k, v, mask), the scale standing on q, k or their product."""

    pattern: ClassVar[Op] = op.MatMul(
        op.Softmax(either(op.Add(_SCORES, var("mask")), _SCORES), name="softmax"), var("v")
    )
    opsets: ClassVar[range] = since(_OPSET)

    def refuse(self, match: Match) -> str | None:
        """Refuse what is not four-dimensional, with equally many heads, and a softmax along the keys."""
        if any(match[name].dtype is not ir.DataType.FLOAT for name in "qkv"):
            return "the precision of the operator's Softmax is not said for other types than float32"
        q, k, v = (match[name].shape for name in "qkv")
        perm = match.attribute("transpose", "perm", (3, 2, 1, 0))
        if q is None or k is None or v is None or {len(q), len(k), len(v), len(perm)} != {_RANK}:
            return "its queries, keys and values are not known to have four dimensions"
        k = ir.Shape([k[axis] for axis in _keys(perm)])
        if not (_agree(q, k, (0, 1, 3)) and _agree(k, v, (0, 1, 2))):
            return "its batch and heads are not known to be the same in queries, keys and values"
        if match.attribute("softmax", "axis", -1) not in (-1, _RANK - 1):
            return "its Softmax is not along the keys"
        if not 0 < _scale(match) <= np.finfo(np.float32).max:
            return "its scale is not positive"
        return _refuse_mask(match, (q[0], q[1], q[2], k[2])) if "mask" in match else None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the operator; keys that were moved as they were transposed are still moved."""
        k, perm = match["k"], _keys(match.attribute("transpose", "perm", ()))
        if perm != tuple(range(_RANK)):
            k = build.op("Transpose", k, perm=perm)
        return build.op("Attention", match["q"], k, match["v"], match.get("mask"), scale=_scale(match))


def _heads(name: str) -> Op:
    """Match [B, S, H·D] as [B, H, S, D]."""
    return op.Transpose(op.Reshape(var(name), var(""), name=f"{name} view"), perm=list(_HEADS_FORTH_AND_BACK))


class AttentionOfHeads(Rule):
    """Attention between Reshapes and Transposes that part [B, S, H·D] into heads = Attention with those heads."""

    pattern: ClassVar[Op] = op.Reshape(
        op.Transpose(
            op.Attention(_heads("q"), _heads("k"), _heads("v"), optional(var("mask")), name="attention"),
            perm=list(_HEADS_FORTH_AND_BACK),
        ),
        var(""),
    )
    opsets: ClassVar[range] = since(_OPSET)

    def refuse(self, match: Match) -> str | None:
        """Refuse views that do more than part the features, or join them."""
        for name in "qkv":
            view = match.node(f"{name} view").outputs[0].shape
            if not _parts_features(match[name].shape, view):
                return f"{match[name].name!r} is not known to be heads side by side"
        v, q, result = match["v"].shape, match["q"].shape, match.root.outputs[0].shape
        joined = None if q is None or v is None else ir.Shape([q[0], q[1], v[2]])
        if joined is None or result is None or len(result) != len(joined) or not _agree(joined, result, (0, 1, 2)):
            return f"{match.root.outputs[0].name!r} is not known to be heads side by side"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """State the number of heads."""
        read = {"q_num_heads": "q view", "kv_num_heads": "k view"}
        views = {name: match.node(view).outputs[0].shape for name, view in read.items()}
        heads = {name: view[2] for name, view in views.items() if view is not None}
        counts = {name: count for name, count in heads.items() if isinstance(count, int)}
        inputs = [match["q"], match["k"], match["v"], match.get("mask")]
        return build.like(match.node("attention"), inputs, **counts)


def _keys(perm: tuple[int, ...]) -> tuple[int, ...]:
    """Return how k must be permuted to be [B, H, T, D], where `perm` makes [B, H, D, T] of it."""
    return tuple(perm[axis] for axis in _LAST_TWO_SWAPPED)


def _agree(left: ir.Shape, right: ir.Shape, axes: tuple[int, ...]) -> bool:
    return all(same_dim(left[axis], right[axis]) for axis in axes)


def _scale(match: Match) -> float:
    scale = 1.0
    for place in _PLACES:
        if f"{place}.factor" in match:
            scale *= value_of(match, f"{place}.factor")
        if f"{place}.divisor" in match:
            divisor = value_of(match, f"{place}.divisor")
            scale = scale / divisor if divisor else float("inf")
    return scale


def _refuse_mask(match: Match, scores: tuple[int | ir.SymbolicDim, ...]) -> str | None:
    mask = match["mask"]
    shape = mask.shape
    if shape is not None and len(shape) == _RANK - 1:
        return f"the mask {mask.name!r} may be of batches or of heads"
    if shape is not None and len(shape) < _NARROWEST_MASK:
        return f"the mask {mask.name!r} has fewer than two dimensions"
    if shape is not None and len(shape) <= _RANK and mask.dtype is ir.DataType.FLOAT:
        *outer, rows, columns = zip(shape, scores[_RANK - len(shape) :], strict=True)
        if same_dim(*rows) and same_dim(*columns) and all(dim == 1 or same_dim(dim, whole) for dim, whole in outer):
            return None
    return f"the mask {mask.name!r} is not known to be one of its scores"


def _parts_features(x: ir.Shape | None, view: ir.Shape | None) -> bool:
    """Whether [B, S, H·D] is seen as [B, S, H, D], with a known number of heads."""
    if x is None or view is None or len(x) != _RANK - 1 or len(view) != _RANK:
        return False
    features, heads, own = x[2], view[2], view[3]
    sizes = isinstance(features, int) and isinstance(heads, int) and isinstance(own, int) and features == heads * own
    return sizes and _agree(x, view, (0, 1))
