"""Nodes that turn real numbers into integers and back, in every spelling, and the parameters that they carry.

QuantizeLinear and DequantizeLinear are of `ai.onnx` since opset 10 and, with the same meaning and more types, of
`com.microsoft`.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant, constant_tensor
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import STANDARD_DOMAINS
from graphopt.quantization.affine import Affine
from graphopt.tensors import Array

MICROSOFT = "com.microsoft"
HALF = 128
"""What lies between the same integers with and without a sign."""

_DOMAINS = STANDARD_DOMAINS | {MICROSOFT}


def is_quantize(node: ir.Node | None) -> bool:
    """Whether a node makes integers of real numbers by given parameters."""
    return node is not None and node.op_type == "QuantizeLinear" and node.domain in _DOMAINS


def is_dequantize(node: ir.Node | None) -> bool:
    """Whether a node makes real numbers of integers."""
    return node is not None and node.op_type == "DequantizeLinear" and node.domain in _DOMAINS


def parameters(node: ir.Node) -> Affine | None:
    """Return how such a node counts, or None where no plan can say so.

    That is where they are computed in the run, are given for blocks of a channel, or make float16 or float8.
    """
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if node.attributes.get_int("block_size", 0):
        return None
    axis = node.attributes.get_int("axis", 1)
    return affine_from(node.inputs[1], zero, integers_of(node), axis=axis, rank=_rank(node.inputs[0]))


def affine_from(
    scale: ir.Value | None, zero: ir.Value | None, dtype: np.dtype[np.generic] | None, *, axis: int, rank: int | None
) -> Affine | None:
    """Return what a scale and a zero point say, or None where they are no positive float32 constants.

    A scale of one element counts for the whole tensor, as onnxruntime takes it. `dtype` is that of the integers
    where the zero point is left out; a negative axis needs a rank.
    """
    scales, zeros = constant(scale), None if zero is None else constant(zero)
    if scales is None or scales.dtype != np.float32 or (zeros is None) != (zero is None):
        return None
    if zeros is None:
        if dtype is None:
            return None
        zeros = np.zeros(scales.shape, dtype)
    if scales.size == 1:
        scales, zeros = scales.reshape(()), zeros.reshape(())
    if not _is_affine(scales, zeros) or (scales.ndim and axis < 0 and rank is None):
        return None
    return Affine(
        np.asarray(scales), np.asarray(zeros), (axis + (rank or 0) if axis < 0 else axis) if scales.ndim else None
    )


def integers_of(node: ir.Node) -> np.dtype[np.generic] | None:
    """Return the type of a node's integers: of the zero point, of what it reads or says that it makes, or uint8."""
    for index in (2, 0):
        value = node.inputs[index] if len(node.inputs) > index else None
        tensor = constant_tensor(value)
        kind = tensor.dtype if tensor is not None else value.dtype if value is not None else None
        if kind is not None and (index == 2 or is_dequantize(node)):
            return np.dtype(kind.numpy())
    if is_dequantize(node):
        return None
    declared = ir.DataType(node.attributes.get_int("output_dtype", 0))
    return np.dtype(np.uint8 if declared is ir.DataType.UNDEFINED else declared.numpy())


def shifted(affine: Affine, dtype: np.dtype[np.generic], by: int) -> Affine:
    """Return how the same real numbers become integers of another type, all moved by a number."""
    return Affine(affine.scale, (affine.zero_point.astype(np.int32) + by).astype(dtype), affine.axis)


def write(graph: ir.Graph, names: Names, op_type: str, value: ir.Value, affine: Affine, name: str) -> ir.Node:
    """Make a QuantizeLinear or DequantizeLinear of a value, which stands in no graph yet; its parameters do.

    Its output is typed and named; the name is taken to be free.
    """
    scale = add_initializer(graph, names.fresh(f"{name}_scale"), affine.scale)
    zero = add_initializer(graph, names.fresh(f"{name}_zero_point"), affine.zero_point)
    node = ir.node(op_type, [value, scale, zero], {} if affine.axis is None else {"axis": affine.axis})
    (output,) = node.outputs
    kind = ir.DataType.from_numpy(affine.dtype) if op_type == "QuantizeLinear" else ir.DataType.FLOAT
    output.name, output.type = name, ir.TensorType(kind)
    output.shape = None if value.shape is None else value.shape.copy()
    return node


def insert(node: ir.Node, graph: ir.Graph) -> None:
    """Put a node of one input behind what makes that, or first where the graph is given it."""
    value = node.inputs[0]
    producer = value.producer() if value is not None else None
    if producer is not None:
        producer.append(node)
    else:
        next(iter(graph)).prepend(node)


def _is_affine(scales: Array, zeros: Array) -> bool:
    if scales.shape != zeros.shape or scales.ndim > 1 or np.dtype(zeros.dtype).kind == "f":
        return False
    numbers = scales.astype(np.float64)
    return bool(np.isfinite(numbers).all() and (numbers > 0).all()) and zeros.dtype.name in _INTEGERS


_INTEGERS = frozenset({"int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16", "int32"})


def _rank(value: ir.Value | None) -> int | None:
    tensor = constant_tensor(value)
    shape = tensor.shape if tensor is not None else value.shape if value is not None else None
    return None if shape is None else len(shape)
