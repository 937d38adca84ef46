"""Elementwise operators: they take the layout of their operands, so that no conversion is needed around them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from tvm import relax

from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.layout import PLAIN, Layout, pack_array
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import FLOATS, dtype_of, literal, shape_of
from graphopt.ir.constants import constant
from graphopt.tensors import Array

Combine = Callable[[relax.Expr, relax.Expr], relax.Expr]


def _pick(compare: Combine) -> Combine:
    """Return the left operand where `compare` says so or it is NaN, the right one elsewhere, so also where that is."""

    def pick(left: relax.Expr, right: relax.Expr) -> relax.Expr:
        is_left = relax.op.logical_or(compare(left, right), relax.op.isnan(left))
        return relax.op.where(is_left, left, right)

    return pick


COMBINE: dict[str, Combine] = {
    "Add": relax.op.add,
    "Div": relax.op.divide,
    "Max": _pick(relax.op.greater),
    "Min": _pick(relax.op.less),
    "Mul": relax.op.multiply,
    "Sub": relax.op.subtract,
    "Sum": relax.op.add,
}


def lower_unary(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower f(x, constants …), f finite on finite numbers (so padding lanes stay finite), in the layout of x."""
    data, *rest = node.inputs
    if data is None or any(value is not None and constant(value) is None for value in rest):
        return importer.convert(lowering, node)
    layout = lowering.layout(data)
    inputs = [lowering.in_layout(data, layout), *(None if value is None else lowering.plain(value) for value in rest)]
    (result, *_) = importer.convert_with(lowering, node, inputs)
    return [Lowered(result.expr, shape_of(node.outputs[0]), layout)]


def lower_relu(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower max(0, x) in the layout of x; with the 0 first, NaN comes through (see `lower_clip`).

    What is held as integers has a bound more.
    """
    (data,) = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    held = lowering.held(data)
    if held is not None and held.affine is not None:
        return [replace(held, affine=held.affine.bounded(0.0, math.inf))]
    layout = lowering.layout(data)
    zero = relax.const(0, dtype_of(data))
    return [Lowered(lowering.emit(relax.op.maximum(zero, lowering.in_layout(data, layout))), shape_of(data), layout)]


def lower_clip(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Clip (bounds are attributes up to opset 6, inputs from 11) in the layout of its input.

    A float without a bound is bounded by the largest finite number (ONNX operator spec, Clip-13). TVM's
    maximum(a, b) is "a if a > b else b": with the bound first, a NaN in the data comes through, and a bound
    that is NaN does not count, both as in onnxruntime.
    """
    data = node.inputs[0]
    if data is None:
        raise RefusalError("it has no input")
    held, bounds = lowering.held(data), _known_bounds(node)
    if held is not None and held.affine is not None and bounds is not None:
        return [replace(held, affine=held.affine.bounded(*bounds))]
    layout, result = lowering.layout(data), lowering.in_layout(data, lowering.layout(data))
    low, high = (_bound(lowering, node, index) for index in (0, 1))
    if low is not None:
        result = lowering.emit(relax.op.maximum(low, result))
    if high is not None:
        result = lowering.emit(relax.op.minimum(high, result))
    return [Lowered(result, shape_of(data), layout)]


def _known_bounds(node: ir.Node) -> tuple[float, float] | None:
    """Return the bounds, infinite where there is none; None where only a run knows them, or one is no number."""
    attributes = node.attributes
    bounds = [attributes.get_float("min", -math.inf), attributes.get_float("max", math.inf)]
    for index, value in enumerate(node.inputs[1:]):
        array = constant(value)
        if value is not None and (array is None or np.isnan(array).any()):
            return None
        bounds[index] = bounds[index] if array is None else float(array.reshape(()))
    return bounds[0], bounds[1]


def _bound(lowering: Lowering, node: ir.Node, index: int) -> relax.Expr | None:
    """Return the lower (0) or upper (1) bound; None for an integer that has none."""
    value = node.inputs[index + 1] if index + 1 < len(node.inputs) else None
    if value is not None:
        return relax.op.reshape(lowering.plain(value), ()) if value.shape != () else lowering.plain(value)
    dtype, attribute = dtype_of(node.outputs[0]), node.attributes.get(("min", "max")[index])
    if attribute is not None:
        return relax.const(attribute.as_float(), dtype)
    limits = np.finfo(dtype) if dtype in FLOATS else None
    return None if limits is None else relax.const((limits.min, limits.max)[index], dtype)


def lower_identity(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower an operator that hands its first input on, as it is."""
    data = node.inputs[0]
    if data is None or len(node.outputs) > 1:
        raise RefusalError("its second output is used")
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if training is not None and not _is_false(training):
        raise RefusalError("it may be in training mode")
    layout = lowering.layout(data)
    return [Lowered(lowering.in_layout(data, layout), shape_of(data), layout)]


def lower_mish(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower x · tanh(ln(1 + eˣ)) as x · n / (n + 2), n = eˣ · (eˣ + 2), which keeps its digits below zero.

    From 20 on the quotient is 1 in every float type, so that eˣ need not overflow.
    """
    (data,) = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    dtype, layout = dtype_of(data), lowering.layout(data)
    x = lowering.in_layout(data, layout)
    two = relax.const(2.0, dtype)
    power = lowering.emit(relax.op.exp(relax.op.minimum(x, relax.const(20.0 if dtype != "float16" else 5.0, dtype))))
    n = lowering.emit(relax.op.multiply(power, relax.op.add(power, two)))
    result = lowering.emit(relax.op.multiply(x, relax.op.divide(n, relax.op.add(n, two))))
    return [Lowered(result, shape_of(data), layout)]


def _is_false(value: ir.Value) -> bool:
    array = constant(value)
    return array is not None and not array.any()


def lower_binary(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower an operator of `COMBINE` on two floats with broadcasting, blocked where an operand is."""
    left, right = node.inputs
    if left is None or right is None or dtype_of(left) not in FLOATS:
        return importer.convert(lowering, node)
    shape = shape_of(node.outputs[0])
    layout = _common_layout(lowering, left, right, shape)
    if node.op_type == "Div" and layout.is_blocked and constant(right) is None:
        layout = PLAIN  # a padding lane of the divisor may hold zero
    lowering.store_but_last((left, right))
    operands = [_operand(lowering, value, layout, shape, fill=index) for index, value in enumerate((left, right))]
    result = lowering.emit(COMBINE[node.op_type](*operands))
    return [Lowered(result, shape, layout)]


def lower_variadic(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Max, Min or Sum of any number of floats, two of them in the layout of an operand."""
    values = [value for value in node.inputs if value is not None]
    if len(values) == 2 or dtype_of(node.outputs[0]) not in FLOATS:
        return lower_binary(lowering, node)
    result = functools.reduce(COMBINE[node.op_type], map(lowering.plain, values))
    return [Lowered(lowering.emit(result), shape_of(node.outputs[0]))]


def lower_batch_normalization(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower an inference BatchNormalization of constant statistics as x · a + b."""
    data, *parameters = node.inputs
    if node.attributes.get_int("training_mode", 0) != 0 or len(node.outputs) > 1:
        raise RefusalError("it is in training mode")
    arrays = [array for array in map(constant, parameters) if array is not None]
    if data is None or len(arrays) != 4 or dtype_of(data) != "float32":
        return importer.convert(lowering, node)
    shape = shape_of(data)
    scale, bias, mean, variance = (array.astype(np.float64) for array in arrays)
    slope = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    offset = bias - mean * slope
    layout = lowering.layout(data)
    factors = [_channel_constant(array.astype(np.float32), layout, len(shape)) for array in (slope, offset)]
    product = lowering.emit(relax.op.multiply(lowering.in_layout(data, layout), literal(factors[0])))
    return [Lowered(lowering.emit(relax.op.add(product, literal(factors[1]))), shape, layout)]


def _channel_constant(array: Array, layout: Layout, rank: int) -> Array:
    column = array.reshape(1, -1, *(1,) * (rank - 2))
    return pack_array(column, layout) if layout.is_blocked else column


def _common_layout(lowering: Lowering, left: ir.Value, right: ir.Value, shape: tuple[int, ...]) -> Layout:
    """Choose a blocked layout where an operand of the full shape already has one."""
    for value in (left, right):
        layout = lowering.layout(value)
        if layout.is_blocked and shape_of(value)[1] == shape[1] and len(shape_of(value)) == len(shape):
            return layout
    return PLAIN


def _operand(lowering: Lowering, value: ir.Value, layout: Layout, shape: tuple[int, ...], *, fill: int) -> relax.Expr:
    """Bring an operand into a form that broadcasts to `shape` in a layout; constants' padding lanes hold `fill`."""
    own = shape_of(value)
    if not layout.is_blocked:
        return lowering.plain(value)
    aligned = (1,) * (len(shape) - len(own)) + own
    array = constant(value)
    if aligned[1] == 1:
        expr = literal(array) if array is not None else lowering.plain(value)
        return lowering.emit(relax.op.reshape(expr, (*aligned, 1)))
    if array is not None:
        return literal(pack_array(array.reshape(aligned), layout, fill))
    if len(own) == len(shape):
        return lowering.in_layout(value, layout)
    return lowering.pack(lowering.emit(relax.op.reshape(lowering.plain(value), aligned)), layout)
