"""Operators that move elements and compute nothing: numpy does it bit by bit alike, at no cost of a session.

They are what is left to fold in most networks: exporters transpose, reshape and widen weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.tensors import Array

Move = Callable[[ir.Node, Sequence[Array]], Array]

# To which of these a number of the first type goes without rounding (Cast-13).
_WIDENINGS = {
    ir.DataType.BFLOAT16: {ir.DataType.FLOAT, ir.DataType.DOUBLE},
    ir.DataType.FLOAT16: {ir.DataType.FLOAT, ir.DataType.DOUBLE},
    ir.DataType.FLOAT: {ir.DataType.DOUBLE},
    ir.DataType.INT32: {ir.DataType.INT64, ir.DataType.DOUBLE},
    ir.DataType.BOOL: {ir.DataType.INT32, ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.DOUBLE},
}


def moved(node: ir.Node, known: dict[ir.Value, ir.TensorProtocol]) -> ir.TensorProtocol | None:
    """Return the result of a node on constants, or None where the node is another, or odd in any way."""
    move = _MOVES.get(node.op_type)
    tensors = [constant_tensor(value) or known.get(value) for value in node.inputs if value is not None]
    if move is None or len(tensors) != len(node.inputs) or any(not _is_plain(tensor) for tensor in tensors):
        return None
    try:
        array = move(node, [tensor.numpy() for tensor in tensors if tensor is not None])
    except (ValueError, TypeError, IndexError):
        return None  # onnxruntime says what is wrong
    return ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), dtype=ir.DataType.from_numpy(array.dtype))


def _is_plain(tensor: ir.TensorProtocol | None) -> bool:
    return tensor is not None and tensor.dtype is not ir.DataType.STRING and tensor.dtype.bitwidth >= 8


def _cast(node: ir.Node, inputs: Sequence[Array]) -> Array:
    (data,) = inputs
    source, target = ir.DataType.from_numpy(data.dtype), ir.DataType(node.attributes["to"].as_int())
    if target is not source and target not in _WIDENINGS.get(source, ()):
        raise ValueError("it rounds")
    return data.astype(target.numpy())


def _reshape(node: ir.Node, inputs: Sequence[Array]) -> Array:
    """Zeros copy a size (Reshape-14), unless `allowzero` takes them for sizes."""
    data, target = inputs
    sizes = [int(size) for size in target]
    if not node.attributes.get_int("allowzero", 0):
        sizes = [data.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return data.reshape(sizes)


def _transpose(node: ir.Node, inputs: Sequence[Array]) -> Array:
    (data,) = inputs
    return data.transpose(node.attributes.get_ints("perm", range(data.ndim)[::-1]))


def _squeeze(node: ir.Node, inputs: Sequence[Array]) -> Array:
    axes = _axes(node, inputs)
    return inputs[0].squeeze(None if axes is None else tuple(axes))


def _unsqueeze(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.expand_dims(inputs[0], tuple(_axes(node, inputs) or ()))


def _flatten(node: ir.Node, inputs: Sequence[Array]) -> Array:
    (data,) = inputs
    axis = node.attributes.get_int("axis", 1)
    axis += data.ndim if axis < 0 else 0
    return data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))


def _axes(node: ir.Node, inputs: Sequence[Array]) -> Sequence[int] | None:
    """Return the axes: an attribute up to opset 12, an input since."""
    if len(inputs) > 1:
        return [int(axis) for axis in inputs[1]]
    given: Sequence[int] | None = node.attributes.get_ints("axes", None)
    return given


_MOVES: dict[str, Move] = {
    "Cast": _cast,
    "Flatten": _flatten,
    "Identity": lambda _, inputs: inputs[0],
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
