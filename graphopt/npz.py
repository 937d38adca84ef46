"""Arrays by name in one file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

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
