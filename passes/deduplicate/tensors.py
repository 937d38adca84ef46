"""When two tensors hold the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import scopes

Outline = tuple[ir.DataType, tuple[int, ...], bytes]
Content = tuple[ir.DataType, tuple[int, ...], bytes]

_ENDS = 64
"""Bytes at both ends that tell most tensors apart without reading the rest, which may be gigabytes."""
_DIGEST = 32
"""Bytes that stand for the data; what is shorter stands for itself."""


def shared_outlines(model: ir.Model) -> frozenset[Outline]:
    """Return the outlines that several initializers have: no other tensor needs to be read whole."""
    counts = Counter(
        outline_of(value.const_value)
        for scope in scopes(model)
        for value in scope.initializers.values()
        if value.const_value is not None
    )
    return frozenset(outline for outline, count in counts.items() if count > 1)


def outline_of(tensor: ir.TensorProtocol) -> Outline:
    """Return what equal tensors share, and what is had without reading them whole."""
    data = _data(tensor)
    return tensor.dtype, tuple(tensor.shape.numpy()), bytes(data[:_ENDS]) + bytes(data[-_ENDS:])


def content_of(tensor: ir.TensorProtocol) -> Content:
    """Return what equal tensors share: BLAKE2, of which no two are known to agree, stands for data longer than it."""
    data = _data(tensor)
    return tensor.dtype, tuple(tensor.shape.numpy()), bytes(data) if len(data) < _DIGEST else _digest(data)


def _digest(data: bytes | memoryview) -> bytes:
    import hashlib  # noqa: PLC0415  # it loads OpenSSL, which takes longer than small models need

    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _data(tensor: ir.TensorProtocol) -> bytes | memoryview:
    if tensor.dtype is ir.DataType.STRING:
        return repr(tensor.numpy().tolist()).encode()
    array = np.ascontiguousarray(tensor.numpy())
    return array.reshape(-1).view(np.uint8).data
