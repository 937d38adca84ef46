"""Constants behind quantization: what a DequantizeLinear of constants makes is known before any run, too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant, is_constant
from graphopt.ir.walk import is_op
from graphopt.tensors import Array


@dataclass(frozen=True)
class IntegerConstant:
    """Real numbers (numbers - zero_point) · scale (ONNX operator spec, DequantizeLinear-21).

    Attributes:
        numbers: of any integer type.
        scale, zero_point: broadcast over the numbers, and so with as many axes, or none.

    """

    numbers: Array
    scale: Array
    zero_point: Array

    @cached_property
    def centred(self) -> Array:
        """The numbers less their zero points, as int32."""
        return self.numbers.astype(np.int32) - self.zero_point.astype(np.int32)

    def real(self) -> Array:
        """Return the numbers that they stand for, in the dtype of the scale."""
        return np.multiply(self.centred.astype(self.scale.dtype), self.scale)


def is_known(value: ir.Value | None) -> bool:
    """Whether `known` knows a value."""
    return is_constant(value) or _is_dequantized(value)


def known(value: ir.Value | None) -> Array | None:
    """Return the content of a constant, or of what is dequantized from constants; None for another value."""
    array = constant(value)
    if array is None and (integers := integer_constant(value)) is not None:
        return integers.real()
    return array


def integer_constant(value: ir.Value | None) -> IntegerConstant | None:
    """Return the integers behind a value that is dequantized from constants, None for another."""
    node = None if value is None else value.producer()
    if node is None or not _is_dequantized(value):
        return None
    numbers, scale, *zero_point = (constant(operand) for operand in node.inputs if operand is not None)
    if numbers is None or scale is None:
        return None
    zero = zero_point[0] if zero_point and zero_point[0] is not None else np.zeros(scale.shape, np.int32)
    axis, size = node.attributes.get_int("axis", 1), node.attributes.get_int("block_size", 0)
    return IntegerConstant(numbers, *(_spread(each, numbers.shape, axis, size) for each in (scale, zero)))


def _is_dequantized(value: ir.Value | None) -> bool:
    node = None if value is None else value.producer()
    return node is not None and is_op(node, "DequantizeLinear") and all(map(is_constant, filter(None, node.inputs)))


def _spread(parameter: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """Bring a parameter, one for all, one an index of an axis or one a block of them, to where it broadcasts."""
    if block_size:
        return np.repeat(parameter, block_size, axis).take(range(shape[axis]), axis)
    if parameter.size == 1:
        return parameter.reshape(())
    ones = [1] * len(shape)
    ones[axis] = parameter.size
    return parameter.reshape(ones)
