"""The numbers that a Gemm multiplies with, in its constants."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, op, optional, var
from graphopt.rewrite.affine import real
from graphopt.rewrite.pattern import Op
from passes.fold_linear.weights import is_real, new_weight


def _scales_product(node: ir.Node) -> bool:
    return node.attributes.get_float("alpha", 1.0) != 1


def _scales_bias(node: ir.Node) -> bool:
    return node.attributes.get_float("beta", 1.0) != 1


class FactorOfProduct(Rule):
    """α·a@w + β·b = a@(α·w) + β·b."""

    pattern: ClassVar[Op] = op.Gemm(
        var("a"), const("weight", is_real), optional(var("bias")), name="gemm", where=_scales_product
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the weight."""
        scaled = real(match, "weight") * match.attribute("gemm", "alpha", 1.0)
        inputs = [match["a"], new_weight(match, build, scaled), match.get("bias")]
        return build.like(match.node("gemm"), inputs, alpha=None)


class FactorOfBias(Rule):
    """α·a@b + β·c = α·a@b + (β·c), and nothing where there is no c."""

    pattern: ClassVar[Op] = op.Gemm(
        var("a"), var("b"), optional(const("bias", is_real)), name="gemm", where=_scales_bias
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the bias."""
        bias = match.get("bias")
        if bias is not None:
            scaled = real(match, "bias") * match.attribute("gemm", "beta", 1.0)
            bias = build.constant("bias", scaled, match.dtype("bias"))
        return build.like(match.node("gemm"), [match["a"], match["b"], bias], beta=None)
