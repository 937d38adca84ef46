"""The right answers to samples, where a person has them: one class a sample, in the order of the data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphopt.errors import CalibrationError
from graphopt.npz import read_arrays
from graphopt.tensors import Array

Labels = str | os.PathLike[str] | Array | Sequence[int]
"""A .npy, a .npz with one array or with one named `labels`, or the numbers themselves."""
Classes = npt.NDArray[np.int64]

_NAME = "labels"


def read_labels(labels: Labels, samples: int | None) -> Classes:
    """Return the class of each sample, int64 [samples], as the index of the largest score.

    Args:
        labels: as many as the data have samples; one a row, where a feed has several.
        samples: how many the data have, where that is known. A folder of pictures has them in the order of their
            paths.

    Raises:
        CalibrationError: they cannot be read, are no whole numbers from 0 on, or are not as many.

    """
    origin = repr(os.fspath(labels)) if isinstance(labels, str | os.PathLike) else "the array"
    array = _array(Path(labels), origin) if isinstance(labels, str | os.PathLike) else np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and int(array.min()) < 0):
        raise CalibrationError(
            f"{origin} of {array.dtype.name}{list(array.shape)} holds no labels; give one whole number from 0 on for "
            "each sample"
        )
    if samples is not None and len(array) != samples:
        raise CalibrationError(f"{origin} has {len(array)} labels for {samples} samples; give one for each")
    return array.astype(np.int64)


def _array(path: Path, origin: str) -> Array:
    arrays = read_arrays(path)
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if _NAME not in arrays:
        raise CalibrationError(f"{origin} has the arrays {', '.join(arrays)}; name that of the labels {_NAME!r}")
    return arrays[_NAME]
