"""Activations as formulas of one element, written so that NaN and infinities come out as they do of onnxruntime.

TVM's max(a, b) is "a if a > b else b", so a NaN passes as second operand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir
from tvm import te, tirx

from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import FLOATS, dtype_of, shape_of

Const = Callable[[float], tirx.Expr]
"""Makes a constant of the element's type."""
Formula = Callable[[tirx.Expr, Const, ir.Node], tirx.Expr]


def lower_activation(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower an operator of `FORMULAS` on floats, in the layout of its input; every formula is finite at zero."""
    (data,) = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    dtype, layout, formula = dtype_of(data), lowering.layout(data), FORMULAS[node.op_type]
    if dtype not in FLOATS:
        return importer.convert(lowering, node)

    def te_activation(source: te.Tensor) -> te.Tensor:
        def element(*indices: tirx.Var) -> tirx.Expr:
            return formula(source(*indices), lambda number: tirx.const(number, dtype), node)

        return te.compute(source.shape, element, name=node.op_type.lower())

    result = lowering.kernel(node.op_type.lower(), te_activation, lowering.in_layout(data, layout))
    return [Lowered(result, shape_of(data), layout)]


def _elu(x: tirx.Expr, const: Const, node: ir.Node) -> tirx.Expr:
    alpha = const(node.attributes.get_float("alpha", 1.0))
    return tirx.Select(x < const(0), alpha * (tirx.exp(x) - const(1)), x)


def _selu(x: tirx.Expr, const: Const, node: ir.Node) -> tirx.Expr:
    alpha = const(node.attributes.get_float("alpha", 1.6732632))
    gamma = const(node.attributes.get_float("gamma", 1.0507010))
    return gamma * tirx.Select(x > const(0), x, alpha * (tirx.exp(x) - const(1)))


def _hard_sigmoid(x: tirx.Expr, const: Const, node: ir.Node) -> tirx.Expr:
    slope, offset = const(node.attributes.get_float("alpha", 0.2)), const(node.attributes.get_float("beta", 0.5))
    return tirx.max(const(0), tirx.min(const(1), slope * x + offset))


def _hard_swish(x: tirx.Expr, const: Const, _: ir.Node) -> tirx.Expr:
    """Return x · max(0, min(1, x / 6 + 1/2)) by a product with 1/6, as ONNX defines it: division takes its time."""
    return x * tirx.max(const(0), tirx.min(const(1), const(1 / 6) * x + const(0.5)))


def _sign(x: tirx.Expr, const: Const, _: ir.Node) -> tirx.Expr:
    return tirx.Select(x > const(0), const(1), tirx.Select(x < const(0), const(-1), tirx.abs(x)))


def _softplus(x: tirx.Expr, const: Const, _: ir.Node) -> tirx.Expr:
    """Return ln(1 + eˣ) as max(0, x) + ln(1 + e⁻|ˣ|), log1p keeping the digits of small numbers."""
    return tirx.max(const(0), x) + tirx.log1p(tirx.exp(-tirx.abs(x)))


def _thresholded_relu(x: tirx.Expr, const: Const, node: ir.Node) -> tirx.Expr:
    return tirx.Select(x > const(node.attributes.get_float("alpha", 1.0)), x, const(0))


FORMULAS: Mapping[str, Formula] = {
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Selu": _selu,
    "Sign": _sign,
    "Softplus": _softplus,
    "ThresholdedRelu": _thresholded_relu,
}
