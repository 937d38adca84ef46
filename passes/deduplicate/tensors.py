"""When two tensors hold the same."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import scopes

Layout = tuple[ir.DataType, tuple[int, ...]]
Content = tuple[ir.DataType, tuple[int, ...], bytes]


def shared_layouts(model: ir.Model) -> frozenset[Layout]:
    """Return the types and shapes that several initializers have: no other tensor needs to be read."""
    counts = Counter(
        layout_of(value.const_value)
        for scope in scopes(model)
        for value in scope.initializers.values()
        if value.const_value is not None
    )
    return frozenset(layout for layout, count in counts.items() if count > 1)


def layout_of(tensor: ir.TensorProtocol) -> Layout:
    """Return a tensor's type and shape."""
    return tensor.dtype, tuple(tensor.shape.numpy())


def content_of(tensor: ir.TensorProtocol) -> Content:
    """Return what equal tensors share; 32 bytes of BLAKE2 stand for the data, of which no two are known to agree."""
    return *layout_of(tensor), hashlib.blake2b(_data(tensor), digest_size=32).digest()


def _data(tensor: ir.TensorProtocol) -> bytes | memoryview:
    if tensor.dtype is ir.DataType.STRING:
        return repr(tensor.numpy().tolist()).encode()
    array = np.ascontiguousarray(tensor.numpy())
    return array.reshape(-1).view(np.uint8).data
