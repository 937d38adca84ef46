"""The files of a program, wherever they lie: mapped into memory, and never read whole."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from graphopt.tensors import Array


class Contents(ABC):
    """What a program consists of, by name.

    Attributes:
        path: of the directory or of the one file.

    """

    path: Path

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Whether there is a file of a name."""

    @abstractmethod
    def strange(self, known: Collection[str]) -> Collection[str]:
        """Return the names of files that a program of `known` ones must not have beside them."""

    @abstractmethod
    def view(self, name: str) -> Array:
        """Return the content of a file, uint8, without reading it: pages are shared until they are written.

        Raises:
            ModelError: it is missing or unreadable.

        """

    @abstractmethod
    def file(self, name: str) -> AbstractContextManager[Path]:
        """Return a context in which a file lies at a path of its own, for what loads nothing else."""

    @abstractmethod
    def model(self, name: str) -> tuple[Path | bytes, Mapping[str, Array]]:
        """Return an ONNX file as onnxruntime takes it, and by name what lies beside it where it has no path."""

    @abstractmethod
    def where(self, name: str) -> str:
        """Say where a file lies, in a sentence."""


def mapped(path: Path) -> Array:
    """Map a file into memory; raises OSError."""
    if not path.stat().st_size:  # of which the system maps nothing
        return np.empty(0, np.uint8)
    return np.memmap(path, np.uint8, mode="c")


def release(view: Array) -> None:
    """Let the system take back the memory of a part of a mapped file; who reads it later gets it again."""
    source: object = view
    while isinstance(source, np.ndarray):
        source = source.base
    if not isinstance(source, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    begin = view.ctypes.data - np.frombuffer(source, np.uint8).ctypes.data
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    if (size := begin + view.nbytes - first) > 0:
        source.madvise(mmap.MADV_DONTNEED, first, size)
