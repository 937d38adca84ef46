"""What a story says of a constant: its numbers in a histogram, or all of a small one."""

from __future__ import annotations

import math
import weakref

import numpy as np
import onnx_ir as ir

from graphopt.report.story import Statistics
from graphopt.tensors import Array

BINS = 32
SAMPLED = 1 << 20
"""Elements beyond which numbers are of a sample: what a constant costs does not grow with it."""
SHOWN = 16
"""Elements up to which a constant is written out."""
_REAL = frozenset(
    ir.DataType[name]
    for name in "FLOAT FLOAT16 DOUBLE BFLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 INT4 UINT4".split()
)


class Constants:
    """Measures constants, each once, whatever holds it; it keeps none alive.

    Attributes:
        sampled: whether there was one that only a sample was taken of.

    """

    def __init__(self) -> None:
        self.sampled = False
        self._numbers: dict[int, tuple[weakref.ref[ir.TensorProtocol], int]] = {}
        self._next = 0
        self._found: dict[object, Statistics | None] = {}

    def key(self, tensor: ir.TensorProtocol) -> object:
        """Return what tells the content of a constant from that of others: itself, or a number for the object."""
        if tensor.size <= SHOWN and tensor.dtype is not ir.DataType.STRING:
            return tensor.dtype, tuple(tensor.shape), tensor.tobytes()
        held = self._numbers.get(id(tensor))
        if held is None or held[0]() is not tensor:
            self._next += 1
            held = self._numbers[id(tensor)] = weakref.ref(tensor), self._next
        return held[1]

    def statistics(self, tensor: ir.TensorProtocol) -> Statistics | None:
        """Return the numbers of a constant, None where it has none."""
        key = self.key(tensor)
        if key not in self._found:
            self.sampled |= tensor.size > SAMPLED
            self._found[key] = statistics(tensor)
        return self._found[key]


def statistics(tensor: ir.TensorProtocol) -> Statistics | None:
    """Measure the elements of a constant, or a sample of them; None where no element is a finite real number."""
    if tensor.dtype not in _REAL or not tensor.size:
        return None
    elements = sample(tensor.numpy()).astype(np.float64)
    finite = elements[np.isfinite(elements)]
    if not finite.size:
        return None
    scale = float(np.abs(finite).max()) or 1.0
    scaled = finite / scale  # the squares of large numbers would overflow, and the bins of tiny ones have no width
    return Statistics(
        min=float(finite.min()),
        max=float(finite.max()),
        mean=float(scaled.mean()) * scale,
        std=float(scaled.std()) * scale,
        zeros=1 - np.count_nonzero(elements) / elements.size,
        histogram=_histogram(scaled),
    )


def sample(array: Array) -> Array:
    """Return the elements of an array, or about `SAMPLED` of more, spread over all rows and columns."""
    flat = array.reshape(-1)
    if flat.size <= SAMPLED:
        return flat
    step = math.ceil(flat.size / SAMPLED)
    while math.gcd(step, flat.size) > 1:
        step += 1
    return flat[::step]


def dtype_name(dtype: ir.DataType) -> str:
    """Name a type of elements as numpy does."""
    return "string" if dtype is ir.DataType.STRING else str(dtype.numpy().name)


def content(tensor: ir.TensorProtocol) -> str | None:
    """Write out a small constant."""
    if tensor.size > SHOWN:
        return None
    array = tensor.numpy()
    if tensor.dtype is ir.DataType.STRING:
        decoded = [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in array.flat]
        return str(decoded if array.ndim else decoded[0])
    return str(array.astype(np.float64).tolist() if array.dtype.kind == "V" else array.tolist())


def _histogram(elements: Array) -> tuple[int, ...]:
    least, width = elements.min(), np.ptp(elements)
    if not width:
        return (len(elements), *[0] * (BINS - 1))
    places = ((elements - least) / width * BINS).astype(np.int64)
    return tuple(np.bincount(np.minimum(places, BINS - 1), minlength=BINS).tolist())
