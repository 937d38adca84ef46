"""Why a node does not compute in integers, whatever its neighbours do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant, constant_tensor, is_constant
from graphopt.ir.traits import has_references, is_standard
from graphopt.ir.walk import is_op
from graphopt.quantization.forms import Form

BIASED = frozenset({"Conv", "ConvTranspose", "Gemm"})
WEIGHT, BIAS = 1, 2
"""The inputs of a product that hold its constants (ONNX operator spec, Conv, ConvTranspose, Gemm and MatMul)."""


def activations(node: ir.Node) -> list[tuple[int, ir.Value]]:
    """Return the inputs of a node that may become integers, with their places."""
    count = {"Concat": len(node.inputs), "Add": 2, "Mul": 2}.get(node.op_type, 1)
    return [(index, value) for index, value in enumerate(node.inputs[:count]) if value is not None]


def weight_axis(node: ir.Node) -> int | None:
    """Return the axis of a product's weight that its output channels lie on; None where groups share it.

    Conv has W[m, c / group, …], ConvTranspose W[c, m / group, …], Gemm B[k, n] or B[n, k], MatMul B[k, n].
    """
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1 if node.attributes.get_int("group", 1) == 1 else None
        case "Gemm":
            return 1 - node.attributes.get_int("transB", 0)
        case _:
            return 1


def channels(node: ir.Node) -> int:
    """Return how many output channels a product has, from its weight."""
    weight, axis = node.inputs[WEIGHT], weight_axis(node)
    shape = constant_tensor(weight).shape.numpy()  # type: ignore[union-attr]  # a product's weight is constant
    return shape[1] * node.attributes.get_int("group", 1) if axis is None else shape[axis]


def obstacle(node: ir.Node, form: Form) -> str | None:
    """Return why a node cannot compute in integers in a form, or None."""
    if not is_standard(node) or node.op_type not in form.operators:
        return f"{node.op_type} has no integers there"
    if has_references(node):
        return "its attributes are given by a caller"
    for _, value in activations(node):
        if value.dtype is not ir.DataType.FLOAT:
            return f"its input {value.name!r} is not float32"
        if is_constant(value):
            return f"its input {value.name!r} is constant"
    check = _CHECKS.get(node.op_type)
    return check(node) if check else None


def clamp_of(node: ir.Node | None) -> tuple[float, float] | None:
    """Return between which numbers a node clamps its first input, or None where it is no constant clamp.

    Relu-14; Clip-13, whose bounds are inputs, and attributes before opset 11.
    """
    if is_op(node, "Relu"):
        return 0.0, np.inf
    if node is None or not is_op(node, "Clip"):
        return None
    bounds = []
    for index, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        given = node.inputs[index] if index < len(node.inputs) else None
        bound = constant(given)
        if given is not None and (bound is None or bound.size != 1):
            return None
        bounds.append(node.attributes.get_float(name, default) if bound is None else float(bound.reshape(())))
    lower, upper = bounds
    return (lower, upper) if lower <= upper else None


def _product(node: ir.Node) -> str | None:
    weight = constant_tensor(node.inputs[WEIGHT])
    if weight is None:
        return "its weight is no constant"
    if weight.dtype is not ir.DataType.FLOAT or weight.size == 0:
        return "its weight is not float32, or empty"
    if not np.isfinite(weight.numpy()).all():
        return "its weight is not finite"
    return _bias(node, channels(node)) if len(node.inputs) > BIAS and node.inputs[BIAS] is not None else None


def _bias(node: ir.Node, count: int) -> str | None:
    bias = constant_tensor(node.inputs[BIAS])
    if bias is None:
        return "its bias is no constant"
    if bias.dtype is not ir.DataType.FLOAT or not np.isfinite(bias.numpy()).all():
        return "its bias is not float32, or not finite"
    return None if bias.size == count else "its bias has not one element a channel"


def _gemm(node: ir.Node) -> str | None:
    scales = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    if scales != [1.0, 1.0] or node.attributes.get_int("transA", 0) != 0:
        return "it scales or transposes what it multiplies"
    return _product(node)


def _matmul(node: ir.Node) -> str | None:
    weight = constant_tensor(node.inputs[WEIGHT])
    if weight is not None and len(weight.shape) != 2:
        return "its weight is no matrix"
    return _product(node)


def _max_pool(node: ir.Node) -> str | None:
    return "it says where its maxima lie" if len(node.outputs) > 1 and node.outputs[1].name else None


def _resize(node: ir.Node) -> str | None:
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return "it interpolates"
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return "it extrapolates"
    return None


def _pad(node: ir.Node) -> str | None:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if node.attributes.get_string("mode", "constant") != "constant" or value is None:
        return None
    written = constant(value)
    return None if written is not None and not written.any() else "it writes another number than zero"


_CHECKS: Mapping[str, Callable[[ir.Node], str | None]] = {
    "Conv": _product,
    "ConvTranspose": _product,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Resize": _resize,
}
