"""ONNX types as TVM sees them: static shapes and dtype names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx_ir as ir
import tvm
from tvm import relax

from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.hardware import available_cores
from graphopt.tensors import Array

_DTYPES = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.DOUBLE: "float64",
    ir.DataType.FLOAT16: "float16",
    ir.DataType.INT8: "int8",
    ir.DataType.INT16: "int16",
    ir.DataType.INT32: "int32",
    ir.DataType.INT64: "int64",
    ir.DataType.UINT8: "uint8",
    ir.DataType.UINT16: "uint16",
    ir.DataType.UINT32: "uint32",
    ir.DataType.UINT64: "uint64",
    ir.DataType.BOOL: "bool",
}
_LARGE_BYTES = 1 << 20
_PARTS_PER_CORE = 4
FLOATS = frozenset({"float16", "float32", "float64"})


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """Return the static shape of a value.

    Raises:
        RefusalError: the rank or a dimension is unknown, or the tensor has no elements.

    """
    if value.shape is None:
        raise RefusalError(f"the rank of {value.name!r} is unknown")
    if not value.shape.is_static():
        raise RefusalError(f"the shape {value.shape} of {value.name!r} is not static")
    shape = tuple(value.shape.numpy())
    if 0 in shape:
        raise RefusalError(f"{value.name!r} of shape {list(shape)} has no elements")
    return shape


def dtype_of(value: ir.Value) -> str:
    """Return TVM's name of a value's element type.

    Raises:
        RefusalError: the value is no tensor, or TVM on CPU does not compute in its element type.

    """
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        raise RefusalError(f"{value.name!r} is no tensor but a {type(value.type).__name__}")
    if value.dtype is None:
        raise RefusalError(f"the element type of {value.name!r} is unknown")
    if value.dtype not in _DTYPES:
        raise RefusalError(f"{value.name!r} has the element type {value.dtype.name}, for which there is no kernel")
    return _DTYPES[value.dtype]


def literal(array: Array) -> relax.Expr:
    """Return an array as a Relax constant of the array's own dtype, copied once, a large one by all cores.

    `relax.const` of an array would silently make int64 int32 and float64 float32, and copy it twice if told not to.
    """
    tensor = tvm.runtime.empty(array.shape, str(array.dtype))
    copy = np.from_dlpack(tensor)
    if array.nbytes < _LARGE_BYTES:
        copy[...] = array
    else:
        with ThreadPoolExecutor(cores := available_cores()) as pool:
            list(pool.map(np.copyto, *(np.array_split(each, _PARTS_PER_CORE * cores) for each in (copy, array))))
    return relax.const(tensor)
