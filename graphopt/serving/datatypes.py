"""The element types of the Open Inference Protocol, and arrays of them as bytes.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, Tensor Data Types;
strings in bytes as in its extension for binary tensors: 4 bytes of length, little-endian, before each.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from graphopt.errors import ServingError
from graphopt.serving.refusal import bad
from graphopt.tensors import Array, TensorSpec

BYTES = "BYTES"
BOOL = "BOOL"
_DTYPES = {
    BOOL: np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    BYTES: np.dtype(object),
}
_NAMES = {dtype.name: name for name, dtype in _DTYPES.items()}
_LENGTH = struct.Struct("<I")


def datatype_of(spec: TensorSpec) -> str:
    """Return the protocol's name of an input's or output's elements; raises ServingError where it has none."""
    try:
        return _NAMES[spec.dtype]
    except KeyError:
        raise ServingError(
            f"{spec.name!r} is {spec.dtype}, which the Open Inference Protocol has no datatype for; put a Cast into the"
            " model"
        ) from None


def dtype_of(datatype: str) -> np.dtype[Any]:
    """Return numpy's type of a datatype; `object` holds strings."""
    dtype: np.dtype[Any] = _DTYPES[datatype]
    return dtype


def element_of(datatype: str) -> type:
    """Return what an element of a datatype is in JSON: bool, int, float or str."""
    if datatype in (BOOL, BYTES):
        return bool if datatype == BOOL else str
    return int if _DTYPES[datatype].kind in "iu" else float


def shaped(array: Array, shape: Sequence[int], place: str) -> Array:
    """Give an array a shape that a client said; raises RefusedError where it can have none like that."""
    try:
        return array.reshape(tuple(shape))
    except ValueError as error:  # too many dimensions, or sizes that numpy cannot count
        raise bad(f"{place} cannot have the shape {list(shape)}: {error}") from error


def from_bytes(data: memoryview, datatype: str, shape: Sequence[int], place: str) -> Array:
    """Read a tensor from its bytes, row-major and little-endian, without copying it; `place` names it in a sentence.

    Raises:
        RefusedError: they are too many or too few, or no elements of that type.

    """
    if datatype == BYTES:
        return shaped(_strings(data, math.prod(shape), place), shape, place)
    dtype = _DTYPES[datatype]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise bad(f"{place} has {len(data)} bytes, {datatype} {list(shape)} takes {math.prod(shape) * dtype.itemsize}")
    if datatype == BOOL and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise bad(f"{place} has bytes other than 0 and 1, which BOOL does not know")
    array: Array = np.frombuffer(data, dtype)
    return shaped(array if array.flags.aligned else array.copy(), shape, place)


def to_bytes(array: Array) -> bytes:
    """Write a tensor to bytes that `from_bytes` reads."""
    if array.dtype.kind not in "OSU":
        return array.tobytes()
    encoded = [text if isinstance(text, bytes) else str(text).encode() for text in array.reshape(-1).tolist()]
    return b"".join(part for text in encoded for part in (_LENGTH.pack(len(text)), text))


def _strings(data: memoryview, count: int, place: str) -> Array:
    strings: list[str] = []
    position = 0
    while position < len(data):
        start = position + _LENGTH.size
        if start > len(data) or (position := start + _LENGTH.unpack_from(data, start - _LENGTH.size)[0]) > len(data):
            raise bad(f"{place} ends within a string; BYTES are strings behind 4 bytes of length each")
        try:
            strings.append(str(data[start:position], "utf-8"))
        except UnicodeDecodeError as error:
            raise bad(f"{place} has a string that is not UTF-8: {error}") from error
    if len(strings) != count:
        raise bad(f"{place} has {len(strings)} strings, its shape takes {count}")
    return np.array(strings, object)
