"""Transposed factors of matrix products: a Gemm reads them as they are.

The transpose of a row or a column moves no element, so it may be written as a Reshape.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import same_dim
from graphopt.rewrite import Builder, Match, Rule, either, op, optional, since, var
from graphopt.rewrite.pattern import Either
from passes.fold_linear.products import refuse_gemm


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
