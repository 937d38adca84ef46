"""Arrays of the element types that onnxruntime's numpy interface does not know, on their way in and out.

ONNX packs elements of less than a byte, the first into the lowest bits; numpy gives each a byte
(ONNX's `onnx.proto`, TensorProto).
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnxruntime

from graphopt.tensors import Array

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Element:
    """An element type.

    Attributes:
        dtype: in numpy, by ml_dtypes.
        number: in ONNX's TensorProto.
        bits: of one element.

    """

    dtype: np.dtype[np.generic]
    number: int
    bits: int = 8


FOREIGN = {
    "bfloat16": Element(np.dtype(ml_dtypes.bfloat16), 16, 16),
    "float8e4m3fn": Element(np.dtype(ml_dtypes.float8_e4m3fn), 17),
    "float8e4m3fnuz": Element(np.dtype(ml_dtypes.float8_e4m3fnuz), 18),
    "float8e5m2": Element(np.dtype(ml_dtypes.float8_e5m2), 19),
    "float8e5m2fnuz": Element(np.dtype(ml_dtypes.float8_e5m2fnuz), 20),
    "uint4": Element(np.dtype(ml_dtypes.uint4), 21, 4),
    "int4": Element(np.dtype(ml_dtypes.int4), 22, 4),
    "float4e2m1": Element(np.dtype(ml_dtypes.float4_e2m1fn), 23, 4),
    "float8e8m0": Element(np.dtype(ml_dtypes.float8_e8m0fnu), 24),
    "uint2": Element(np.dtype(ml_dtypes.uint2), 25, 2),
    "int2": Element(np.dtype(ml_dtypes.int2), 26, 2),
}
"""By onnxruntime's name."""

_BY_DTYPE = {element.dtype: element for element in FOREIGN.values()}
_BY_NUMBER = {element.number: element for element in FOREIGN.values()}


def to_onnxruntime(array: Array) -> onnxruntime.OrtValue:
    """Wrap an array of any type, without copying it where its elements fill bytes."""
    element = _BY_DTYPE.get(array.dtype)
    data = array.astype(object) if array.dtype.kind == "U" else np.asarray(array, order="C")
    if element is None:
        return onnxruntime.OrtValue.ortvalue_from_numpy(data)
    if element.bits < 8:
        carrier: Array = _packed(data.view(np.uint8), element.bits)
    else:
        carrier = data.view(np.dtype(f"u{element.dtype.itemsize}"))
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(carrier, element.number)


def from_onnxruntime(value: onnxruntime.OrtValue) -> Array:
    """Return a tensor of any type as an array of its own."""
    element = _BY_NUMBER.get(value.element_type())
    if element is None:
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    if 0 in shape:
        return np.zeros(shape, element.dtype)
    held = np.frombuffer(bytearray(ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())), np.uint8)
    data = held if element.bits >= 8 else _unpacked(held, element.bits, math.prod(shape))
    return data.view(element.dtype).reshape(shape)


def _packed(data: Bytes, bits: int) -> Bytes:
    """Pack elements at the front of a buffer of the same shape: its size is not looked at, its shape is."""
    fields = np.zeros((-(-data.size // (8 // bits)), 8 // bits), np.uint8)
    fields.reshape(-1)[: data.size] = data.reshape(-1) & np.uint8(2**bits - 1)
    carrier = np.zeros(data.shape, np.uint8)
    carrier.reshape(-1)[: len(fields)] = np.bitwise_or.reduce(fields << np.arange(0, 8, bits, dtype=np.uint8), axis=1)
    return carrier


def _unpacked(whole: Bytes, bits: int, size: int) -> Bytes:
    fields = (whole.reshape(-1, 1) >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8(2**bits - 1)
    return fields.reshape(-1)[:size].copy()
