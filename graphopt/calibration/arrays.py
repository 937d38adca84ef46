"""Arrays in files, read row by row, so that memory does not grow with the file; pages of a mapped one would count."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from graphopt.calibration.sample import Sample
from graphopt.errors import CalibrationError
from graphopt.tensors import Array


@dataclass(frozen=True)
class ArrayFile:
    """The rows of the array in a .npy, or of those in a .npz side by side.

    Attributes:
        members: the name of the array for each input; "" in a .npy.
        count: how many rows there are.

    """

    path: Path
    members: Mapping[str, str]
    count: int

    @staticmethod
    def at(path: Path, inputs: Sequence[str]) -> ArrayFile:
        """Open a file for the inputs of a model, of which a single one takes a single array of any name.

        Raises:
            CalibrationError: it cannot be read, lacks the array of an input, or has arrays of different length.

        """
        with _naming(path):
            members = _members(path, inputs)
            with _opened(path, members) as streams:
                lengths = {name: _Header.read(stream).length for name, stream in streams.items()}
        first, *others = lengths
        for name in others:
            if lengths[name] != lengths[first]:
                raise CalibrationError(
                    f"{str(path)!r} has {lengths[first]} samples for {first!r} and {lengths[name]} for {name!r}; "
                    "give as many for each input"
                )
        return ArrayFile(path, members, lengths[first])

    def read(self, start: int, stop: int | None) -> Iterator[Sample]:
        """Yield the rows; raises CalibrationError where the file cannot be read."""
        with _naming(self.path), _opened(self.path, self.members) as streams:
            rows = [_Header.read(stream).rows(stream, start) for stream in streams.values()]
            for index in range(start, self.count if stop is None else min(stop, self.count)):
                arrays = dict(zip(streams, map(next, rows), strict=True))
                yield Sample(f"sample {index} of {str(self.path)!r}", arrays)


@dataclass(frozen=True)
class _Header:
    """What stands before the elements of an array in numpy's format (numpy.lib.format)."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @staticmethod
    def read(stream: IO[bytes]) -> _Header:
        """Read it; raises ValueError where rows cannot be told from what follows."""
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError("it holds objects, not numbers")
        if not shape:
            raise ValueError("an array of it has no axis of samples")
        if is_fortran and len(shape) > 1:
            raise ValueError("its rows lie scattered, in Fortran's order; save numpy.ascontiguousarray of it")
        return _Header(shape, dtype)

    @property
    def length(self) -> int:
        return self.shape[0]

    def rows(self, stream: IO[bytes], start: int) -> Iterator[Array]:
        """Yield the rows from one on, out of a stream behind the header."""
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        stream.seek(start * size, os.SEEK_CUR)
        for _ in range(start, self.length):
            data = stream.read(size)
            if len(data) < size:
                raise ValueError("it ends before the last sample")
            yield np.frombuffer(data, self.dtype).reshape(self.shape[1:])


def _members(path: Path, inputs: Sequence[str]) -> dict[str, str]:
    if path.suffix != ".npz":
        if len(inputs) != 1:
            raise CalibrationError(
                f"{str(path)!r} holds one array, and the model has the inputs {', '.join(inputs)}; give a .npz of them"
            )
        return {inputs[0]: ""}
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    if len(inputs) == len(names) == 1:
        return {inputs[0]: names[0]}
    if missing := [name for name in inputs if name not in names]:
        raise CalibrationError(
            f"{str(path)!r} has no array for the input {missing[0]!r}, but {', '.join(names)}; name it as the input"
        )
    return {name: name for name in inputs}


@contextmanager
def _opened(path: Path, members: Mapping[str, str]) -> Iterator[dict[str, IO[bytes]]]:
    """Open a stream for each input."""
    with ExitStack() as stack:
        if path.suffix != ".npz":
            file = stack.enter_context(path.open("rb"))
            yield dict.fromkeys(members, file)
            return
        archive = stack.enter_context(zipfile.ZipFile(path))
        yield {name: stack.enter_context(archive.open(f"{member}.npy")) for name, member in members.items()}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of which file it is that the body cannot read it."""
    try:
        yield
    except OSError as error:
        raise CalibrationError(
            f"cannot read {str(path)!r}: {error.strerror or error}; give a file that is there"
        ) from error
    except (ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise CalibrationError(
            f"{str(path)!r} holds no samples that can be read ({error}); write it with numpy.save or numpy.savez"
        ) from error
