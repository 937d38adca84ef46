"""Arrays by name in one file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from graphopt.errors import CalibrationError
from graphopt.files import atomic_path
from graphopt.tensors import Array


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a .npz; unlike numpy.savez it takes every name, `file` included, and leaves no half file.

    Raises:
        OutputError: the place is not writable, or the disk is full.

    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                plain = array.astype(str) if array.dtype == object else array
                np.lib.format.write_array(member, plain, allow_pickle=False)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the arrays of a .npz by name, or that of a .npy as "".

    Raises:
        CalibrationError: it cannot be read, or holds something else.

    """
    try:
        with Path(path).open("rb") as file:
            held = np.load(file, allow_pickle=False)
            return {"": held} if isinstance(held, np.ndarray) else {name: held[name] for name in held.files}
    except OSError as error:
        raise CalibrationError(
            f"cannot read {os.fspath(path)!r}: {error.strerror or error}; write name=file.npy, or feeds.npz for several"
        ) from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CalibrationError(
            f"{os.fspath(path)!r} holds no arrays that can be read ({error}); write it with numpy.save or numpy.savez"
        ) from error
