"""Operators that have one right answer, whatever computes it: they move elements, or compute with integers.

numpy gives it at no cost of a session. These are what is left to fold in most networks: exporters transpose, reshape
and widen weights, and calculate with shapes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.tensors import Array

Evaluate = Callable[[ir.Node, Sequence[Array]], Array]


def exact_result(node: ir.Node, known: dict[ir.Value, ir.TensorProtocol]) -> ir.TensorProtocol | None:
    """Return the result of a node on constants, or None where the node is another, or odd in any way."""
    evaluate = OPERATORS.get(node.op_type)
    tensors = [constant_tensor(value) or known.get(value) for value in node.inputs if value is not None]
    if evaluate is None or len(tensors) != len(node.inputs) or any(not _is_plain(tensor) for tensor in tensors):
        return None
    try:
        array = evaluate(node, [tensor.numpy() for tensor in tensors if tensor is not None])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # onnxruntime says what is wrong
    return ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), dtype=ir.DataType.from_numpy(array.dtype))


def _is_plain(tensor: ir.TensorProtocol | None) -> bool:
    return tensor is not None and tensor.dtype is not ir.DataType.STRING and tensor.dtype.bitwidth >= 8


def _of_integers(function: Callable[[Any, Any], Any]) -> Evaluate:
    """Apply a function of two integers, which wraps around as in C."""

    def evaluate(_: ir.Node, inputs: Sequence[Array]) -> Array:
        left, right = inputs
        if left.dtype != right.dtype or left.dtype.kind not in "iu":
            raise TypeError("not integers")
        with np.errstate(over="ignore"):
            return np.asarray(function(left, right), left.dtype)

    return evaluate


def _cast(node: ir.Node, inputs: Sequence[Array]) -> Array:
    """Convert numbers that come back as they were, whatever the rounding (Cast-13)."""
    (data,) = inputs
    with np.errstate(all="ignore"):
        result = data.astype(ir.DataType(node.attributes["to"].as_int()).numpy())
        if not np.array_equal(result.astype(data.dtype), data):
            raise ValueError("some number is none of the new type")
    return result


def _concat(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=node.attributes["axis"].as_int())


def _constant_of_shape(node: ir.Node, inputs: Sequence[Array]) -> Array:
    (shape,) = inputs
    value: ir.TensorProtocol | None = node.attributes["value"].value if "value" in node.attributes else None
    return np.full([int(size) for size in shape], np.float32(0) if value is None else value.numpy().reshape(()))


def _flatten(node: ir.Node, inputs: Sequence[Array]) -> Array:
    (data,) = inputs
    axis = node.attributes.get_int("axis", 1)
    axis += data.ndim if axis < 0 else 0
    return data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))


def _gather(node: ir.Node, inputs: Sequence[Array]) -> Array:
    data, indices = inputs
    return np.take(data, indices.astype(np.int64), axis=node.attributes.get_int("axis", 0))


def _reshape(node: ir.Node, inputs: Sequence[Array]) -> Array:
    """Zeros copy a size (Reshape-14), unless `allowzero` takes them for sizes."""
    data, target = inputs
    sizes = [int(size) for size in target]
    if not node.attributes.get_int("allowzero", 0):
        sizes = [data.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return data.reshape(sizes)


def _slice(_: ir.Node, inputs: Sequence[Array]) -> Array:
    """Take ranges, whose bounds numpy clamps as ONNX does (Slice-13)."""
    data, starts, ends, *others = inputs
    axes = others[0].tolist() if others else range(len(starts))
    steps = others[1].tolist() if len(others) > 1 else [1] * len(starts)
    ranges = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        size = data.shape[axis]
        if step < 0 and start < -size:
            raise ValueError("numpy takes nothing here, and ONNX the first element")
        # An end before the beginning, counted backwards, is none in numpy: -1 would be the last element.
        ranges[axis] = slice(start, None if step < 0 and end < -size else end, step)
    return data[tuple(ranges)]


def _squeeze(node: ir.Node, inputs: Sequence[Array]) -> Array:
    axes = _axes(node, inputs)
    return inputs[0].squeeze(None if axes is None else tuple(axes))


def _transpose(node: ir.Node, inputs: Sequence[Array]) -> Array:
    (data,) = inputs
    return data.transpose(node.attributes.get_ints("perm", range(data.ndim)[::-1]))


def _unsqueeze(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.expand_dims(inputs[0], tuple(_axes(node, inputs) or ()))


def _axes(node: ir.Node, inputs: Sequence[Array]) -> Sequence[int] | None:
    """Return the axes: an attribute up to opset 12, an input since."""
    if len(inputs) > 1:
        return [int(axis) for axis in inputs[1]]
    given: Sequence[int] | None = node.attributes.get_ints("axes", None)
    return given


OPERATORS: dict[str, Evaluate] = {
    "Add": _of_integers(operator.add),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": lambda _, inputs: inputs[0],
    "Mul": _of_integers(operator.mul),
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _of_integers(operator.sub),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
