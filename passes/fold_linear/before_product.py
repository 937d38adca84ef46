"""Arithmetic with constants before matrix products.

In the formulas w is the constant factor, c the operand, @ a matrix product. An operand is seen as it
broadcasts against the input: from the right.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, var
from graphopt.rewrite.affine import Affine, operand_name, operand_of, real, step, step_map
from graphopt.rewrite.pattern import Either, Op
from passes.fold_linear.products import as_bias, gemm, matmul, refuse_gemm, weight_on_right, with_weight
from passes.fold_linear.weights import bias_of, new_weight


class StepThenGemm(Rule):
    """α·(c·a)@w + β·b = α·a@(c·w) + β·b and α·(a + c)@w + β·b = α·a@w + (β·b + α·c@w), with β = 1 then.

    The operand varies along what is summed over, if at all.
    """

    pattern: ClassVar[Op] = gemm(step(var("a")))

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that varies along the rows of the output."""
        summed = match.constant("weight").shape[1 if match.attribute("gemm", "transB", 0) else 0]
        axis = 0 if match.attribute("gemm", "transA", 0) else 1
        return _refuse_summed(match, match["a"], axis - 2, summed)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the rows of the weight."""
        node, weight, dtype = match.node("gemm"), real(match, "weight"), match.dtype("weight")
        rows = weight.T if match.attribute("gemm", "transB", 0) else weight
        mapping = _along_rows(match, rows.shape[0])
        scaled = mapping.scale * rows
        new = new_weight(match, build, scaled.T if rows is not weight else scaled)
        added = match.attribute("gemm", "alpha", 1.0) * (mapping.shift * rows).sum(axis=0)
        if not added.any():
            return build.like(node, [match["a"], new, match.get("bias")])
        bias = match.attribute("gemm", "beta", 1.0) * bias_of(match) + added
        return build.like(node, [match["a"], new, build.constant("bias", as_bias(bias), dtype)], beta=None)


class StepThenMatMul(Rule):
    """(c·x)@w = x@(c·w); (x + c)@w = x@w + c@w, as a Gemm, for matrices; and the same with w on the left.

    The operand varies along what is summed over, if at all.
    """

    pattern: ClassVar[Either] = matmul(step(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that varies along other axes, and a shift of more than a matrix."""
        weight, right = match.constant("weight"), weight_on_right(match)
        if not right and (match["x"].shape is None or len(match["x"].shape) < 2):
            return f"{match['x'].name!r} may be a vector"
        summed = weight.shape[-2 if right and weight.ndim > 1 else -1]
        reason = _refuse_summed(match, match["x"], -1 if right else -2, summed)
        if reason is None and step_map(match, operand_of(match)).shift.any():
            return refuse_gemm(match["x"], match["weight"])
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the axis of the weight that is summed over."""
        weight, right = real(match, "weight"), weight_on_right(match)
        rows = weight if right else weight.swapaxes(-1, -2) if weight.ndim > 1 else weight
        mapping = _along_rows(match, rows.shape[-2 if rows.ndim > 1 else -1])
        mapping = mapping if rows.ndim > 1 else Affine(mapping.scale[:, 0], mapping.shift[:, 0])
        scaled = rows * mapping.scale
        new = new_weight(match, build, scaled if right or weight.ndim == 1 else scaled.swapaxes(-1, -2))
        inputs = with_weight(match, match["x"], new)
        if not mapping.shift.any():
            return build.like(match.node("matmul"), inputs)
        added = (rows * mapping.shift).sum(axis=0)
        bias = added if right else added[:, np.newaxis]
        return build.op("Gemm", *inputs, build.constant("bias", bias, match.dtype("weight")))


def _refuse_summed(match: Match, x: ir.Value, axis: int, size: int) -> str | None:
    """Return why an operand varies along another axis of `x` than the given one (from the right), or widens it."""
    operand, name = operand_of(match), operand_name(match)
    shape = (1,) * (-axis - operand.ndim) + operand.shape
    others = [dim for index, dim in enumerate(shape) if index - len(shape) != axis]
    if any(dim != 1 for dim in others) or shape[axis : axis + 1 or None] not in ((1,), (size,)):
        return f"{name} varies along other axes than the one that is summed over"
    if operand.ndim <= 1 and operand.size == 1:
        return None
    if x.shape is None or len(x.shape) < operand.ndim or (operand.size > 1 and x.shape[axis] != size):
        return f"{x.name!r} may be of fewer elements than {name} makes of it"
    return None


def _along_rows(match: Match, size: int) -> Affine:
    """Return the map of a step for each row of a weight: [rows, 1]."""
    return step_map(match, np.broadcast_to(operand_of(match).reshape(-1, 1), (size, 1)))
