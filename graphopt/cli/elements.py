"""Element types that numpy's files cannot name: written as plain numbers of as many bytes, named in the array's name.

The bfloat16 output `y` is the uint16 array `y:bfloat16` in a .npz, and `--input y:bfloat16=file.npy` reads one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from graphopt.tensors import Array


def encode(name: str, array: Array) -> tuple[str, Array]:
    """Return a name and an array that numpy can write."""
    if array.dtype.kind != "V":
        return name, array
    return f"{name}:{array.dtype.name}", array.view(np.dtype(f"u{array.dtype.itemsize}"))


def decode(name: str, array: Array) -> tuple[str, Array]:
    """Undo `encode`; a name that ends in no type of these is left as it is."""
    from graphopt.backends.ort.values import FOREIGN

    plain, _, suffix = name.rpartition(":")
    dtype = next((element.dtype for element in FOREIGN.values() if element.dtype.name == suffix), None)
    if dtype is None or array.dtype != np.dtype(f"u{dtype.itemsize}"):
        return name, array
    return plain, array.view(dtype)
