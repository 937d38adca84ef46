"""What a rule may know of a value without taking its producer into the match, so that others may read it too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op
from graphopt.tensors import Array


class FloatFormat(NamedTuple):
    """How a floating-point type is stored (IEEE 754, 3.4).

    Attributes:
        mantissa: bits behind the point.
        exponent: bits of the exponent.

    """

    mantissa: int
    exponent: int

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with all its digits."""
        return math.ldexp(1, 2 - (1 << self.exponent - 1))

    @property
    def first_whole(self) -> float:
        """From this number on, the type holds whole numbers only."""
        return math.ldexp(1, self.mantissa)


FLOATS = {
    ir.DataType.BFLOAT16: FloatFormat(7, 8),
    ir.DataType.FLOAT16: FloatFormat(10, 5),
    ir.DataType.FLOAT: FloatFormat(23, 8),
    ir.DataType.DOUBLE: FloatFormat(52, 11),
}
"""The floating-point types that operators compute with."""

_FLOAT_DTYPES = frozenset(dtype.numpy() for dtype in FLOATS)

Condition = Callable[[ir.Value], bool]


def is_float(value: ir.Value) -> bool:
    """Whether a value is known to hold floating-point numbers that operators compute with."""
    return value.dtype in FLOATS


def holds_floats(array: Array) -> bool:
    """Whether a constant is of a type in FLOATS."""
    return array.dtype in _FLOAT_DTYPES


def made_by(*op_types: str) -> Condition:
    """Return whether a value is the first output of one of these operators, with attributes that are known."""

    def condition(value: ir.Value) -> bool:
        node = value.producer()
        return node is not None and is_op(node, *op_types) and value.index() == 0 and not has_references(node)

    return condition


def shaped_like(made: ir.Value, other: ir.Value) -> ir.Value:
    """Give a new value the type and shape of another, so that the next rule knows them at once."""
    made.type, made.shape = other.type, None if other.shape is None else other.shape.copy()
    return made


def source(value: ir.Value) -> ir.Value:
    """Return the first input of the node that makes a value; raises ValueError where there is none."""
    node = value.producer()
    read = node.inputs[0] if node is not None and node.inputs else None
    if read is None:
        raise ValueError(f"value {value.name!r} is made from nothing")
    return read


_NEVER_NEGATIVE = made_by(
    "Abs", "Exp", "HardSigmoid", "ReduceL1", "ReduceL2", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"
)
_KEEPS_SIGN = made_by(
    *"AveragePool DepthToSpace Expand Flatten Gather GlobalAveragePool ReduceMean ReduceSum Reshape Slice".split(),
    *"SpaceToDepth Squeeze Tile Transpose Unsqueeze".split(),
)
"""What gives elements of its first input, or sums and means of them."""


def is_non_negative(value: ir.Value) -> bool:
    """Whether every element is a NaN or not below zero, whatever the input.

    One operator that keeps the sign is looked through, not more: a rule sees again what changes so near to it.
    """
    return _is_made_non_negative(value) or (_KEEPS_SIGN(value) and _is_made_non_negative(source(value)))


def _is_made_non_negative(value: ir.Value) -> bool:
    node = value.producer()
    if node is None or not is_float(value):
        return False
    if is_op(node, "Mul", "Clip", "Max"):
        return _is_square(node) if node.op_type == "Mul" else _has_floor(node)
    if is_op(node, "Cast"):
        return _is_unsigned(source(value))
    return _NEVER_NEGATIVE(value)


def _is_square(node: ir.Node) -> bool:
    return node.inputs[0] is node.inputs[1]


def _has_floor(node: ir.Node) -> bool:
    """Whether a Max has a constant that is not negative, or a Clip such bounds: with a maximum below, it gives that."""
    if node.op_type == "Max":
        return any(map(_is_floor, node.inputs))
    if "min" in node.attributes and not has_references(node):
        return node.attributes.get_float("min", -1.0) >= 0 and node.attributes.get_float("max", math.inf) >= 0
    return any(map(_is_floor, node.inputs[1:2])) and all(value is None or _is_floor(value) for value in node.inputs[2:])


def _is_floor(value: ir.Value | None) -> bool:
    array = constant(value)
    return array is not None and bool(np.greater_equal(array, 0).all())


def _is_unsigned(value: ir.Value) -> bool:
    return value.dtype is not None and (value.dtype is ir.DataType.BOOL or value.dtype.name.startswith("UINT"))
