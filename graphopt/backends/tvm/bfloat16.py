"""How bfloat16 is stored: the upper half of a float32, as uint16, since TVM's LLVM backend has no type for it."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from tvm import tirx

from graphopt.tensors import Array

STORED = "uint16"
"""The dtype of tensors that hold bfloat16."""
_HALF = 16
_INFINITY, _MAGNITUDE, _QUIET = 0x7F800000, 0x7FFFFFFF, 0x40


def round_array(array: Array) -> Array:
    """Round float32 to nearest, ties to even."""
    return array.astype(ml_dtypes.bfloat16).view(np.uint16)


def rounded(value: tirx.Expr) -> tirx.Expr:
    """Round float32 to nearest, ties to even; a NaN stays one."""
    bits = tirx.reinterpret("uint32", value)
    half = tirx.shift_right(bits, _uint32(_HALF))
    nearest = tirx.shift_right(bits + _uint32(0x7FFF) + tirx.bitwise_and(half, _uint32(1)), _uint32(_HALF))
    is_nan = tirx.bitwise_and(bits, _uint32(_MAGNITUDE)) > _uint32(_INFINITY)
    return tirx.Select(is_nan, tirx.bitwise_or(half, _uint32(_QUIET)), nearest).astype(STORED)


def widened(value: tirx.Expr) -> tirx.Expr:
    """Return a stored number as float32."""
    return tirx.reinterpret("float32", tirx.shift_left(value.astype("uint32"), _uint32(_HALF)))


def _uint32(value: int) -> tirx.Expr:
    return tirx.const(value, "uint32")
