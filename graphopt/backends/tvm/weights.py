"""The weights of a program: one file beside its libraries, mapped into memory and shared between processes.

The file is a sequence of arrays in numpy's own format (NPY), each padded to 64 bytes, so that the content of
every array starts where vector loads and TVM want it. An array is known by the place where it begins, and lies
there once, however many parts and variants of the program read it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.digests import digest
from graphopt.errors import ModelError
from graphopt.tensors import Array

_LONGEST_HEADER = 4096
"""Bytes; what numpy writes before an array of any rank that it has is shorter."""


class WeightWriter:
    """Appends arrays to a file, content-addressed: what is there already is not written again."""

    def __init__(self, path: Path) -> None:
        """Begin a file; it is made with the first array."""
        self._path = path
        self._places: dict[bytes, int] = {}
        self._contents: dict[int, int] = {}
        self._end = 0

    @property
    def size(self) -> int:
        """Return the bytes of the file."""
        return self._end

    def add(self, array: Array) -> int:
        """Write an array unless one of its dtype, shape and bytes is there; return the byte where it begins."""
        array = np.asarray(array, order="C")
        content = array.reshape(-1).view(np.uint8).data
        place = self._places.setdefault(digest((f"{array.dtype.str} {array.shape}".encode(), content)), self._end)
        if place == self._end:
            with self._path.open("ab") as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
                self._contents[place] = file.tell() - array.nbytes
                file.write(bytes(-file.tell() % ALIGNMENT))
                self._end = file.tell()
        return place

    def add_bytes(self, data: bytes) -> int:
        """Write bytes as `add` does; return where they themselves begin, for who reads no NPY."""
        return self._contents[self.add(np.frombuffer(data, np.uint8))]


def read_weights(memory: Array, places: Sequence[int]) -> list[Array]:
    """Return the arrays that begin at some bytes of the file's content, a uint8 array, as views of it.

    Raises:
        ModelError: they do not lie there.

    """
    try:
        return [_array(memory, place) for place in places]
    except ValueError as error:
        raise ModelError(f"the weights of the program are damaged ({error}); compile the model again") from error


def _array(memory: Array, place: int) -> Array:
    header = io.BytesIO(memory[place : place + _LONGEST_HEADER].tobytes())
    np.lib.format.read_magic(header)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    start = place + header.tell()
    end = start + math.prod(shape) * dtype.itemsize
    return np.asarray(memory[start:end]).view(dtype).reshape(shape)
