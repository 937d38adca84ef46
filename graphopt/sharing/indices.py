"""Which weights have one value, as numbers."""

from __future__ import annotations

import numpy as np

from graphopt.quantization.rows import from_rows
from graphopt.quantization.weights import Weight
from graphopt.sharing.codebook import Codes


def shared_indices(weight: Weight, *, by_row: bool) -> Codes:
    """Return a number for each element, equal where elements have one value, in the shape of the weight.

    With `by_row`, equal values of different rows have different numbers: each row has values of its own.
    """
    rows = weight.rows
    _, codes = np.unique(rows, return_inverse=True)
    codes = codes.reshape(rows.shape).astype(np.int64)
    if by_row:
        slices = np.arange(rows[..., 0].size).reshape(*rows.shape[:2], 1)
        _, codes = np.unique(codes + slices * (int(codes.max()) + 1), return_inverse=True)
        codes = codes.reshape(rows.shape).astype(np.int64)
    return np.asarray(from_rows(weight.nodes[0], codes, weight.array.shape))
