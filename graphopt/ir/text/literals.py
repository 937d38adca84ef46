"""Names, types and tensors in ONNX's textual syntax (onnx/defs/parser.cc; docs/Syntax.md of ONNX)."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from graphopt.tensors import Array

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that the parser takes for the start of a type, wherever a name may stand instead.
TYPE_WORDS = {"seq", "map", "optional", "sparse_tensor", "opaque"}.union(dtype.name.lower() for dtype in ir.DataType)
CONSTRUCTORS = {ir.SequenceType: "seq", ir.OptionalType: "optional", ir.SparseTensorType: "sparse_tensor"}
UNSIGNED = {8: np.uint8, 16: np.uint16}


def quoted(text: str) -> str:
    """Return a string literal; the parser undoes the escapes of quotes and backslashes and knows no others."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def name(text: str) -> str:
    """Return a value's name as it is where the syntax allows that, and else quoted."""
    return text if IDENTIFIER.fullmatch(text) and text not in TYPE_WORDS else quoted(text)


def identifier(text: str) -> str:
    """Return a word for a place where the syntax allows no quotes (attributes, operators, inner graphs)."""
    word = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return word if IDENTIFIER.fullmatch(word) and word not in TYPE_WORDS else f"g_{word}"


def dotted(domain: str) -> str:
    """Return a domain for a place where only words joined by dots may stand."""
    return ".".join(re.sub(r"\W", "_", part, flags=re.ASCII) for part in domain.split("."))


def type_text(kind: ir.TypeProtocol, shape: ir.Shape | None) -> str:
    """Return a type: `float` is a scalar, `float[]` of unknown rank, `float[N,3,?]` of rank 3."""
    constructor = CONSTRUCTORS.get(type(kind))
    if isinstance(kind, ir.SequenceType | ir.OptionalType):
        return f"{constructor}({type_text(kind.elem_type, shape)})"
    text = tensor_type(kind.dtype, shape)
    return f"{constructor}({text})" if constructor else text


def tensor_type(dtype: ir.DataType, shape: ir.Shape | None) -> str:
    """Return the type of a dense tensor."""
    dims = "[]" if shape is None else f"[{','.join(map(_dim, shape))}]" if len(shape) else ""
    return f"{dtype.name.lower()}{dims}"


def floats(values: Iterable[float]) -> list[str]:
    """Return the shortest decimals that make the same 32-bit floats, each with a point or an exponent."""
    return [str(np.float32(value)) for value in values]


def tensor_data(tensor: ir.TensorProtocol) -> str:
    """Return the elements in braces.

    The syntax writes 16-bit and smaller floats as the integer of their bits, and types below a byte packed,
    as TensorProto.int32_data holds them.
    """
    return f"{{{', '.join(_elements(tensor))}}}"


def _elements(tensor: ir.TensorProtocol) -> Iterable[str]:
    if tensor.dtype is ir.DataType.STRING:
        return (quoted(text.decode(errors="replace")) for text in np.ravel(tensor.numpy()).tolist())
    array: Array = np.ravel(tensor.numpy())
    match tensor.dtype:
        case ir.DataType.FLOAT | ir.DataType.DOUBLE:
            return map(str, array)
        case ir.DataType.COMPLEX64:
            return map(str, array.view(np.float32))
        case ir.DataType.COMPLEX128:
            return map(str, array.view(np.float64))
        case ir.DataType.FLOAT6E2M3 | ir.DataType.FLOAT6E3M2:
            return map(str, array.view(np.uint8))
        case dtype if dtype.bitwidth < 8:
            return map(str, tensor.tobytes())
        case dtype if dtype.is_floating_point():
            return map(str, array.view(UNSIGNED[dtype.bitwidth]))
        case _:
            return map(str, array.astype(np.int64 if tensor.dtype is ir.DataType.BOOL else array.dtype))


def _dim(dim: int | ir.SymbolicDim) -> str:
    if isinstance(dim, int):
        return str(dim)
    if dim.value is None:
        return "?"
    return dim.value if IDENTIFIER.fullmatch(dim.value) else quoted(dim.value)
