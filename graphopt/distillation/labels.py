"""Labels in a file."""

from __future__ import annotations

from pathlib import Path

from graphopt.errors import CalibrationError
from graphopt.npz import read_arrays
from graphopt.tensors import Array

_NAME = "labels"


def read_labels(path: Path) -> Array:
    """Read the numbers of classes, one a sample, out of a .npy, or of a .npz: `labels` there, or the only array.

    Raises:
        CalibrationError: it cannot be read, or it is not clear which array.

    """
    arrays = read_arrays(path)
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if _NAME not in arrays:
        raise CalibrationError(f"{str(path)!r} holds {', '.join(arrays)}; name the array of the labels {_NAME!r}")
    return arrays[_NAME]
