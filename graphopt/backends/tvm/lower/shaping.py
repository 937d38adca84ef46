"""Operators that move or rename elements without computing."""

from __future__ import annotations

import onnx_ir as ir
from tvm import relax

from graphopt.backends.tvm.lower.layout import PLAIN
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import shape_of


def lower_reshape(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Reshape, Flatten, Squeeze and Unsqueeze: the result's static shape says all there is to say."""
    data = node.inputs[0]
    if data is None:
        raise RefusalError("it has no input")
    shape = shape_of(node.outputs[0])
    return [Lowered(lowering.emit(relax.op.reshape(lowering.plain(data), shape)), shape)]


def lower_transpose(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Transpose."""
    (data,) = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    order = node.attributes.get_ints("perm", list(reversed(range(len(shape_of(data))))))
    result = lowering.emit(relax.op.permute_dims(lowering.plain(data), list(order)))
    return [Lowered(result, shape_of(node.outputs[0]))]


def lower_concat(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Concat; along the channels, blocked where every part but the last fills its blocks."""
    inputs = [value for value in node.inputs if value is not None]
    shape = shape_of(node.outputs[0])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    layouts = {lowering.layout(value) for value in inputs}
    layout = next((layout for layout in layouts if layout.is_blocked), PLAIN)
    if axis == 1 and any(shape_of(value)[1] % lowering.lanes for value in inputs[:-1]):
        layout = PLAIN
    if axis == 0 and layout.is_blocked:
        layout = PLAIN
    parts = [lowering.in_layout(value, layout) for value in inputs]
    if len(parts) == 1:
        return [Lowered(parts[0], shape, layout)]
    return [Lowered(lowering.emit(relax.op.concat(parts, axis)), shape, layout)]
