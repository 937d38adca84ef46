"""Functions of one byte by a table: what quantizes f(x), x being held in 8 bits, looks 256 results up.

The results are those that onnxruntime computes of f, so that nothing is off by a rounding. Functions that are a bound
alone need no table, see `affine`; others of a few operations are as fast in registers, but may round otherwise.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from tvm import te

from graphopt.backends.ort.reference import evaluate
from graphopt.backends.tvm.lower.affine import BYTES, Affine
from graphopt.backends.tvm.lower.importer import opset
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.ir.constants import constant_tensor, is_constant
from graphopt.ir.fusible import is_elementwise
from graphopt.tensors import Array

_IR_VERSION = 10
_BOUNDS = frozenset({"Clip", "Relu"})


def function_of_bytes(lowering: Lowering, value: ir.Value) -> tuple[Lowered, Array] | None:
    """Return what is held in 8 bits whose function a value is, and its results for each byte; None where it is none."""
    node = value.producer()
    if node is None or node.op_type in _BOUNDS or not is_elementwise(node) or not _is_unary(node):
        return None
    (data, *_) = node.inputs
    held = lowering.held(data)
    if held is not None and held.affine is not None and held.affine.scale.ndim == 0 and held.dtype in BYTES:
        return held, _evaluate(node, _reals(held.affine, held.dtype))
    inner = None if data is None else function_of_bytes(lowering, data)
    return None if inner is None else (inner[0], _evaluate(node, inner[1]))


def te_look_up(source: te.Tensor, table: te.Tensor) -> te.Tensor:
    """Compute table[q], q counted from its smallest value on."""
    lowest = np.iinfo(str(source.dtype)).min
    return te.compute(source.shape, lambda *place: table(source(*place).astype("int32") - lowest), name="look_up")


def _is_unary(node: ir.Node) -> bool:
    """Whether a node depends on its first input alone, the others being numbers."""
    first, *rest = node.inputs
    return first is not None and all(value is None or (is_constant(value) and value.shape == ()) for value in rest)


def _reals(affine: Affine, dtype: str) -> Array:
    """Return what each byte stands for."""
    limits = np.iinfo(dtype)
    centred = np.arange(limits.min, limits.max + 1, dtype=np.int32) - np.int32(affine.zero_point)
    return np.clip(np.multiply(centred.astype(np.float32), affine.scale), affine.low, affine.high)


def _evaluate(node: ir.Node, numbers: Array) -> Array:
    """Return f of numbers, as onnxruntime computes it."""
    kind, shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(numbers.shape)
    source, result = (ir.Value(name=name, type=kind, shape=shape) for name in ("x", "y"))
    tensors = [constant_tensor(value) for value in node.inputs[1:]]
    constants = [
        None if tensor is None else ir.Value(name=f"c{index}", const_value=tensor)
        for index, tensor in enumerate(tensors)
    ]
    call = ir.Node("", node.op_type, [source, *constants], node.attributes.values(), outputs=[result])
    graph = ir.Graph(
        [source],
        [result],
        nodes=[call],
        initializers=[value for value in constants if value is not None],
        opset_imports={"": opset(node)},
        name="function",
    )
    return evaluate(ir.Model(graph, ir_version=_IR_VERSION), {"x": numbers})["y"]
