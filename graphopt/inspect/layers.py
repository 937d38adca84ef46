"""A model layer by layer: what goes out of each node, its parameters, its arithmetic, and the bytes it moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.inspect.memory import value_bytes
from graphopt.inspect.operations import UnknownShapeError, operations_of
from graphopt.ir.constants import constant_tensor
from graphopt.ir.walk import STANDARD_DOMAINS, is_op, nodes, operator_name

_INTEGER_PRODUCTS = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm")
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", *_INTEGER_PRODUCTS)


@dataclass(frozen=True)
class Layer:
    """A node.

    Attributes:
        name: its own, or that of its first output.
        op: its operator, with the domain where that is not `ai.onnx`.
        dtype, shape: of its first output, as text; `?` for what is unknown.
        parameters: elements of the constants that it reads; those that several nodes read count for each.
        macs, flops: multiply-adds and floating-point operations, None where a shape is unknown.
        bytes: what it reads and writes, every operand once, None alike.
        intensity: flops a byte, None alike.

    """

    name: str
    op: str
    dtype: str
    shape: str
    parameters: int
    macs: int | None
    flops: int | None
    bytes: int | None
    intensity: float | None


def layers(model: ir.Model) -> Iterator[Layer]:
    """Describe the nodes of all scopes, Constant aside; shapes must have been inferred."""
    for node in nodes(model):
        if not is_op(node, "Constant"):
            yield layer_of(node)


def is_product(node: ir.Node) -> bool:
    """Whether a node is a convolution or a matrix product."""
    return node.op_type in _PRODUCTS and node.domain in {*STANDARD_DOMAINS, "com.microsoft"}


def is_quantized(node: ir.Node) -> bool:
    """Whether a product takes integers: by its operator, or because both factors come from DequantizeLinear."""
    if node.op_type in _INTEGER_PRODUCTS:
        return True
    factors = node.inputs[:2]
    return len(factors) == 2 and all(
        value is not None and is_op(value.producer(), "DequantizeLinear") for value in factors
    )


def macs_of(node: ir.Node) -> int:
    """Return the multiply-adds of a node, 0 where a shape is unknown."""
    try:
        return operations_of(node)[0]
    except UnknownShapeError:
        return 0


def layer_of(node: ir.Node) -> Layer:
    """Describe a node; shapes must have been inferred."""
    macs: int | None
    flops: int | None
    try:
        macs, flops = operations_of(node)
    except UnknownShapeError:
        macs = flops = None
    moved = _moved(node)
    output = node.outputs[0] if node.outputs else None
    constants = (constant_tensor(value) for value in dict.fromkeys(node.inputs))
    return Layer(
        name=node.name or str(output.name if output is not None else ""),
        op=operator_name(node),
        dtype="?" if output is None or output.dtype is None else output.dtype.name.lower(),
        shape="?" if output is None or output.shape is None else _dims(output.shape),
        parameters=sum(tensor.size for tensor in constants if tensor is not None),
        macs=macs,
        flops=flops,
        bytes=moved,
        intensity=flops / moved if flops is not None and moved else None,
    )


def _moved(node: ir.Node) -> int | None:
    total = 0
    for value in dict.fromkeys((*node.inputs, *node.outputs)):
        if value is None or not (value.name or value.uses()):
            continue
        tensor = constant_tensor(value)
        size = value_bytes(value) if tensor is None or tensor.dtype is ir.DataType.STRING else tensor.nbytes
        if size is None:
            return None
        total += size
    return total


def _dims(shape: ir.Shape) -> str:
    return "×".join(str(dim) if isinstance(dim, int) else dim.value or "?" for dim in shape) or "scalar"
