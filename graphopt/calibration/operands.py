"""What a layer multiplies its weight with: which value, and how it falls into columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.calibration.window import Float32, Window
from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.ir.walk import STANDARD_DOMAINS, label


@dataclass(frozen=True)
class Operand:
    """The side of a product that comes from the data.

    Attributes:
        value: its name.
        columns: yields what each row of the weight is multiplied with, [groups, K, columns], from the value.

    """

    value: str
    columns: Callable[[Float32], Iterator[Float32]]


def operand_of(node: ir.Node) -> Operand:
    """Return what a Conv, Gemm or MatMul multiplies its weight with.

    A weight is a constant, but for that of a Conv which states its kernel_shape. K runs over the axes of the weight in
    their order: [C/group, …] of a Conv's, the rows of a matrix on the right, the columns of one on the left.

    Raises:
        ModelError: the node is of another kind, or its weight is not constant or has other axes.

    """
    find = _OPERANDS.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
    if find is None:
        raise ModelError(
            f"node {label(node)} is none of {', '.join(_OPERANDS)}, so it has no Gram matrix; leave it out"
        )
    return find(node)


def _conv(node: ir.Node) -> Operand:
    kernel = tuple(node.attributes.get_ints("kernel_shape", ())) or _shape(node, 1)[2:]
    return Operand(_name(node, 0), Window.of(node, kernel).columns)


def _gemm(node: ir.Node) -> Operand:
    """A'·B' with the weight B (ONNX operator spec, Gemm-13); alpha belongs to the weight."""
    if len(_shape(node, 1)) != 2:
        raise _odd_weight(node)
    return Operand(_name(node, 0), _first_axis if node.attributes.get_int("transA", 0) else _last_axis)


def _matmul(node: ir.Node) -> Operand:
    """A·B with the weight on either side (ONNX operator spec, MatMul-13)."""
    side = 1 if constant_tensor(node.inputs[1]) is not None else 0
    if len(_shape(node, side)) != 2:
        raise _odd_weight(node)
    return Operand(_name(node, 1 - side), _last_axis if side else _rows_axis)


def _last_axis(values: Float32) -> Iterator[Float32]:
    yield values.reshape(-1, values.shape[-1]).T[None]


def _first_axis(values: Float32) -> Iterator[Float32]:
    yield values.reshape(values.shape[0], -1)[None]


def _rows_axis(values: Float32) -> Iterator[Float32]:
    """Take the last axis but one, which a matrix on the left multiplies; a vector has one alone."""
    axis = max(values.ndim - 2, 0)
    yield np.moveaxis(values, axis, 0).reshape(1, values.shape[axis], -1)


def _shape(node: ir.Node, index: int) -> tuple[int, ...]:
    tensor = constant_tensor(node.inputs[index])
    if tensor is None:
        raise ModelError(f"node {label(node)} multiplies with no constant, so it has no Gram matrix; leave it out")
    return tuple(tensor.shape.numpy())


def _odd_weight(node: ir.Node) -> ModelError:
    return ModelError(f"the weight of node {label(node)} is no matrix, so it has no Gram matrix; leave it out")


def _name(node: ir.Node, index: int) -> str:
    value = node.inputs[index]
    return str(value.name) if value is not None else ""


_OPERANDS: Mapping[str, Callable[[ir.Node], Operand]] = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
