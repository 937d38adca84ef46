"""Scaled dot-product attention, spelled as MatMul, Softmax, MatMul.

Vaswani et al., "Attention Is All You Need" (2017), section 3.2.1; ONNX operator spec, Attention-23, with tensors of
four dimensions: q[n, h, l, d], k[n, h, s, d], v[n, h, s, e] and a mask that is added to the scores [n, h, l, s]:

    Attention(q, k, v, mask) = Softmax(scale · q @ kᵀ + mask) @ v

The operator multiplies both factors by √scale, so that the last digits differ.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into, same_dim
from graphopt.rewrite import Builder, Match, Rule, either, op, since, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.recover_operators.axes import rank_of
from passes.recover_operators.spelling import number, value_of

_TURNED = [0, 1, 3, 2]
_STEPS = ("q_step", "k_step", "scores_step")
_RANK = 4
_NARROWEST_MASK = 2


def _scaled(x: Pattern, what: str) -> Either:
    """Match x·c or x/c, the node bound to `{what}_step` and c to `{what}_factor`; or x."""
    return either(op("Mul", "Div")(x, number(f"{what}_factor"), name=f"{what}_step"), x)


def _keys() -> Either:
    """Match the transposed keys, scaled before or after."""
    inside = op.Transpose(_scaled(var("k"), "k"), perm=_TURNED)
    return either(inside, _scaled(op.Transpose(var("k"), perm=_TURNED), "k"))


_PRODUCT = op.MatMul(_scaled(var("q"), "q"), _keys(), name="product")
_SCORES = _scaled(_PRODUCT, "scores")


class Attention(Rule):
    """Softmax(scale · q @ kᵀ + mask) @ v = Attention(q, k, v, mask)."""

    pattern: ClassVar[Op] = op.MatMul(
        op.Softmax(either(op.Add(_SCORES, var("mask"), name="masked"), _SCORES), name="softmax"), var("v")
    )
    opsets: ClassVar[range] = since(23)

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no attention of heads that correspond, in float32."""
        tensors = [match[name] for name in ("q", "k", "v")]
        if any(value.dtype is not ir.DataType.FLOAT for value in tensors):
            return "the precision of the operator's Softmax is not said for other types than float32"
        if any(rank_of(value) != _RANK for value in tensors):
            return "its queries, keys and values are not known to have four dimensions"
        if match.attribute("softmax", "axis", -1) not in (-1, _RANK - 1):
            return "its Softmax is not along the keys"
        if not all(_same_heads(value, tensors[0]) for value in tensors[1:]):
            return "its batch and heads are not known to be the same in queries, keys and values"
        return _refuse_mask(match) if "mask" in match else _refuse_scale(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Write the operator."""
        inputs = [match["q"], match["k"], match["v"], *([match["mask"]] if "mask" in match else ())]
        return build.op("Attention", *inputs, scale=_scale(match))


def _same_heads(left: ir.Value, right: ir.Value) -> bool:
    shapes = (left.shape, right.shape)
    return all(shape is not None for shape in shapes) and all(
        same_dim(*pair) for pair in zip(*((shape or ())[:2] for shape in shapes), strict=True)
    )


def _refuse_mask(match: Match) -> str | None:
    mask, scores = match["mask"], match.node("product").outputs[0]
    if mask.dtype is not ir.DataType.FLOAT or not broadcasts_into(mask, scores):
        return f"the mask {mask.name!r} is not known to be one of its scores"
    if (rank_of(mask) or 0) < _NARROWEST_MASK:
        return f"the mask {mask.name!r} has fewer than two dimensions"
    return _refuse_scale(match)


def _refuse_scale(match: Match) -> str | None:
    """Refuse a scale that has no root, since the operator takes it."""
    return None if _scale(match) > 0 else "its scale is not positive"


def _scale(match: Match) -> float:
    scale = 1.0
    for step in _STEPS:
        factor = step.replace("step", "factor")
        if factor in match:
            value = value_of(match, factor)
            divides = match.node(step).op_type == "Div"
            scale = (scale / value if value else 0.0) if divides else scale * value
    return scale
