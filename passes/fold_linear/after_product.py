"""Arithmetic with constants, and any addition, after matrix products.

In the formulas w is the constant factor, c the operand, @ a matrix product. An operand is seen as it
broadcasts against the output: from the right.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Rule, const, either, op, var
from graphopt.rewrite.affine import Affine, operand_name, operand_of, real, step, step_map
from graphopt.rewrite.pattern import Either, Op
from passes.fold_linear.products import as_bias, gemm, matmul, refuse_gemm, weight_on_right, with_weight
from passes.fold_linear.weights import bias_of, check_growth, new_weight


class GemmThenStep(Rule):
    """c·(α·a@w + β·b) = α·a@(w·c) + c·β·b, (…) + c = α·a@w + (β·b + c), with β = 1 from then on.

    The operand of a scale has one row, that of a shift any shape that broadcasts to [rows, columns].
    """

    pattern: ClassVar[Either] = step(gemm(var("a")))

    def refuse(self, match: Match) -> str | None:
        """Refuse a scale of rows, and an operand that makes rows or columns."""
        name, operand, output = operand_name(match), operand_of(match), match.node("gemm").outputs[0]
        rows, columns = (1, 1, *operand.shape)[-2:]
        own = match.constant("weight").shape[0 if match.attribute("gemm", "transB", 0) else 1]
        if operand.ndim > 2 or columns not in (1, own) or (rows != 1 and (self._map(match).scale != 1).any()):
            return f"{name} is not one number for each column"
        if rows != 1 and (output.shape is None or output.shape[0] != rows):
            return f"{output.name!r} may not have the {rows} rows of {name}"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the columns of the weight."""
        mapping = self._map(match)
        scale = mapping.scale[:1]
        columns = scale.T if match.attribute("gemm", "transB", 0) else scale
        weight = new_weight(match, build, real(match, "weight") * columns)
        bias = match.get("bias")
        if bias is not None or mapping.shift.any():
            new = mapping.scale * match.attribute("gemm", "beta", 1.0) * bias_of(match) + mapping.shift
            check_growth("bias", new, *(match.constant(name) for name in ("bias", "operand") if name in match))
            bias = build.constant("bias", as_bias(new), match.dtype("weight"))
        return build.like(match.node("gemm"), [match["a"], weight, bias], beta=None)

    @staticmethod
    def _map(match: Match) -> Affine:
        operand = operand_of(match)
        return step_map(match, operand.reshape((1,) * (2 - operand.ndim) + operand.shape))


def _may_be_matrix(value: ir.Value) -> bool:
    return value.shape is None or len(value.shape) == 2


class ProductThenAdd(Rule):
    """a@b + c = Gemm(a, b, c), for matrices, where c broadcasts into the product; and so for a Gemm without c."""

    pattern: ClassVar[Op] = op.Add(
        op("MatMul", "Gemm")(var("a", _may_be_matrix), var("b", _may_be_matrix), name="product"), var("c")
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what is no product of matrices, and a sum that makes rows or columns."""
        product = match.node("product")
        if match["c"] is product.outputs[0]:
            return "it adds the product to itself"
        reason = refuse_gemm(match["a"], match["b"]) if product.op_type == "MatMul" else None
        return reason or _refuse_bias(match["c"], product.outputs[0])

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Give the product a bias."""
        product, inputs = match.node("product"), [match["a"], match["b"], match["c"]]
        return build.op("Gemm", *inputs) if product.op_type == "MatMul" else build.like(product, inputs, beta=None)


class MatMulThenStep(Rule):
    """c·(x@w) = x@(w·c), and so for /; c - x@w = x@-w + c, as a Gemm, for matrices.

    The same with w on the left. The operand may vary along the axes of w that are not summed over.
    """

    pattern: ClassVar[Either] = either(
        op("Mul", "Sub", "Div")(matmul(var("x")), const("operand"), name="step"),
        op.Sub(const("operand"), matmul(var("x")), name="step"),
        op.Neg(matmul(var("x")), name="step"),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is no part of the weight."""
        if match.node("step").op_type == "Sub":
            product = match.node("matmul")
            return refuse_gemm(*product.inputs) or _refuse_bias(match["operand"], product.outputs[0])
        return _refuse_scale(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale the weight; a shift becomes the bias of a Gemm."""
        node, weight, mapping = match.node("matmul"), real(match, "weight"), step_map(match, operand_of(match))
        if match.node("step").op_type != "Sub":
            return build.like(node, with_weight(match, match["x"], new_weight(match, build, weight * mapping.scale)))
        negated = match.node("step").inputs[0] is match["operand"]
        inputs = with_weight(match, match["x"], new_weight(match, build, -weight if negated else weight))
        return build.op("Gemm", *inputs, build.constant("bias", mapping.shift, match.dtype("weight")))


class BiasedProductThenScale(Rule):
    """c·(x@w + b) = x@(w·c) + b·c, and so for /; for products of more dimensions than a Gemm has."""

    pattern: ClassVar[Op] = op("Mul", "Div")(
        op.Add(matmul(var("x")), const("bias"), name="add"), const("operand"), name="step"
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is no part of the weight."""
        return _refuse_scale(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale weight and bias."""
        scale = step_map(match, operand_of(match)).scale
        weight = new_weight(match, build, real(match, "weight") * scale)
        bias = real(match, "bias") * scale
        check_growth("bias", bias, match.constant("bias"))
        product = build.like(match.node("matmul"), with_weight(match, match["x"], weight))
        return build.op("Add", product, build.constant("bias", bias, match.dtype("weight")))


def _refuse_bias(bias: ir.Value, output: ir.Value) -> str | None:
    return None if broadcasts_into(bias, output) else f"{bias.name!r} may not broadcast into {output.name!r}"


def _refuse_scale(match: Match) -> str | None:
    """Return why the operand of a scale does not vary along axes of the weight alone.

    If x is no vector, the output's axes are, counted from the right, the weight's; all but the one of the
    weight that is summed over, where the output has one of x and the operand must see one number.
    """
    weight, operand, x = match.constant("weight"), operand_of(match), match["x"]
    right = weight_on_right(match)
    if operand.ndim == 0:
        return None
    dims = None if x.shape is None else len(x.shape)
    known = (right and operand.ndim == 1) if dims is None else dims >= 2
    if weight.ndim < 2 or not known:
        return f"the axes of {match.node('matmul').outputs[0].name!r} are not known to be those of the weight"
    of_x = operand.shape[-2:-1] if right else operand.shape[-1:]
    fits = all(own in (1, dim) for own, dim in zip(operand.shape[::-1], weight.shape[::-1], strict=False))
    if of_x not in ((), (1,)) or operand.ndim > weight.ndim or not fits:
        return f"{operand_name(match)} varies along axes that are not the weight's alone"
    return None
