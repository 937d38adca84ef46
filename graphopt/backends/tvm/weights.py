"""The weights of a compiled part: a file beside its library, mapped into memory and shared between processes.

The file is a sequence of arrays in numpy's own format (NPY), each padded to 64 bytes, so that the content of
every array starts where vector loads and TVM want it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graphopt.errors import ModelError
from graphopt.tensors import Array

_ALIGNMENT = 64


def weights_path(library: Path) -> Path:
    """Return where the weights of a library lie."""
    return library.with_suffix(".weights")


def write_weights(path: Path, arrays: Sequence[Array]) -> None:
    """Write arrays one after the other."""
    with path.open("wb") as file:
        for array in arrays:
            np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
            file.write(bytes(-file.tell() % _ALIGNMENT))


def read_weights(path: Path) -> list[Array]:
    """Return the arrays as views of the mapped file; pages are shared until somebody writes to them.

    Raises:
        ModelError: the file is missing or damaged.

    """
    try:
        size = path.stat().st_size
        if size == 0:
            return []
        memory = np.memmap(path, np.uint8, mode="c")
        with path.open("rb") as file:
            return list(_arrays(file, memory, size))
    except (OSError, ValueError) as error:
        raise ModelError(f"the weights {path} of the program are missing or damaged: {error}") from error


def _arrays(file: BinaryIO, memory: np.memmap[tuple[int, ...], np.dtype[np.uint8]], size: int) -> Iterator[Array]:
    while file.tell() < size:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        end = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        yield np.asarray(memory[start:end]).view(dtype).reshape(shape)
        file.seek(end + -end % _ALIGNMENT)
