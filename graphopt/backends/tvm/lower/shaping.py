"""Operators that move or rename elements without computing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from tvm import relax

from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import literal, shape_of
from graphopt.ir.constants import constant


def lower_reshape(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Reshape, Flatten, Squeeze and Unsqueeze: the result's static shape says all there is to say.

    Where the shape or the axes are known to a run alone, the declared shape is a promise that only onnxruntime checks.
    """
    data, *how = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    if any(value is not None and constant(value) is None for value in how):
        raise RefusalError("its shape or axes are not constant, and TVM would not check them")
    shape = shape_of(node.outputs[0])
    return [Lowered(lowering.emit(relax.op.reshape(lowering.plain(data), shape)), shape)]


def lower_shape(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Shape (with start and end from opset 15) and Size: shapes are static, so the answer is a constant."""
    data = node.inputs[0]
    if data is None:
        raise RefusalError("it has no input")
    shape = np.asarray(shape_of(data), np.int64)
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
    result = np.prod(shape, dtype=np.int64) if node.op_type == "Size" else shape[start:end]
    return [Lowered(lowering.emit(literal(np.asarray(result))), shape_of(node.outputs[0]))]


def lower_gather(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Gather by constant indices; negative ones count from the end.

    A kernel does not look where it reads, so that indices which only a run knows stay with onnxruntime, which
    checks them.
    """
    data, indices = node.inputs
    known = constant(indices)
    if data is None or known is None:
        raise RefusalError("its indices are not constant, and TVM would not check them")
    axis = node.attributes.get_int("axis", 0) % len(shape_of(data))
    extent = shape_of(data)[axis]
    numbers = np.asarray(known, np.int64)
    if numbers.size and not -extent <= numbers.min() <= numbers.max() < extent:
        raise RefusalError(f"its indices leave the {extent} elements of axis {axis}")
    places = literal(np.asarray(np.where(numbers < 0, numbers + extent, numbers)))
    # They are in range; the default mode, which does not clip, prints a warning for each.
    result = lowering.emit(relax.op.take(lowering.plain(data), lowering.emit(places), axis, mode="clip"))
    return [Lowered(result, shape_of(node.outputs[0]))]


def lower_transpose(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Transpose."""
    (data,) = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    order = node.attributes.get_ints("perm", list(reversed(range(len(shape_of(data))))))
    result = lowering.emit(relax.op.permute_dims(lowering.plain(data), list(order)))
    return [Lowered(result, shape_of(node.outputs[0]))]
