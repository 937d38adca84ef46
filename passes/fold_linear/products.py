"""Matrix products with a constant factor: their patterns, and what their rules ask of them."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.rewrite import Match, const, either, op, optional, parameter
from graphopt.rewrite.affine import Float64
from graphopt.rewrite.pattern import Either, Op, Pattern
from passes.fold_linear.weights import GEMM_TYPES, is_real


def gemm(a: Pattern) -> Op:
    """Match a Gemm with a constant weight, bound to "gemm"."""
    return op.Gemm(a, parameter("weight", is_real), optional(parameter("bias")), name="gemm")


def matmul(x: Pattern) -> Either:
    """Match a MatMul with a constant weight on either side, bound to "matmul"."""
    weight = const("weight", is_real)
    return either(op.MatMul(x, weight, name="matmul"), op.MatMul(weight, x, name="matmul"))


def refuse_gemm(*factors: ir.Value | None) -> str | None:
    """Return why a MatMul of these is no Gemm."""
    for value in factors:
        if value is None or value.dtype not in GEMM_TYPES:
            return "Gemm is not for every type that MatMul is for"
        if value.shape is None:
            return f"the rank of {value.name!r} is unknown"
        if len(value.shape) != 2:
            return f"{value.name!r} is no matrix"
    return None


def weight_on_right(match: Match) -> bool:
    """Whether the constant factor of a matched MatMul is the second."""
    return match.node("matmul").inputs[1] is match["weight"]


def with_weight(match: Match, x: ir.Value | None, weight: ir.Value) -> list[ir.Value | None]:
    """Return the inputs of the matched MatMul, on another input and with another constant factor."""
    return [x, weight] if weight_on_right(match) else [weight, x]


def as_bias(bias: Float64) -> Float64:
    """Write a row as a vector."""
    return bias[0] if bias.ndim == 2 and bias.shape[0] == 1 else bias
