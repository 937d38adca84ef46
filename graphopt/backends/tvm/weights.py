"""The weights of a program: one file beside its libraries, mapped into memory and shared between processes.

The file is a sequence of arrays in numpy's own format (NPY), each padded to 64 bytes, so that the content of
every array starts where vector loads and TVM want it. An array is known by the place where it begins, and lies
there once, however many parts and variants of the program read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.digests import digest
from graphopt.errors import ModelError
from graphopt.tensors import Array


class WeightWriter:
    """Appends arrays to a file, content-addressed: what is there already is not written again."""

    def __init__(self, path: Path) -> None:
        """Begin a file; it is made with the first array."""
        self._path = path
        self._places: dict[bytes, int] = {}
        self._contents: dict[int, int] = {}
        self._end = 0

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


def read_weights(path: Path, places: Sequence[int]) -> list[Array]:
    """Return the arrays that begin at some bytes of a file, as views of it; pages are shared until they are written.

    Raises:
        ModelError: the file is missing or damaged.

    """
    if not places:
        return []
    try:
        memory = np.memmap(path, np.uint8, mode="c")
        with path.open("rb") as file:
            return [_array(file, memory, place) for place in places]
    except (OSError, ValueError) as error:
        raise ModelError(f"the weights {path} of the program are missing or damaged: {error}") from error


def _array(file: BinaryIO, memory: np.memmap[tuple[int, ...], np.dtype[np.uint8]], place: int) -> Array:
    file.seek(place)
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    end = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.asarray(memory[start:end]).view(dtype).reshape(shape)
