"""Weights rounded to bfloat16 so that the errors of a channel cancel.

What a channel sums up are mostly activations of one sign, so that their mean times the sum of the weights' errors is
the larger part of the error of its result. That sum becomes next to nothing when a few weights, those that lie near the
middle between two numbers of bfloat16, are rounded to the other one (Guo et al., "SQuant: On-the-Fly Data-Free
Quantization via Diagonal Hessian Approximation", 2022).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from graphopt.hardware import available_cores
from graphopt.tensors import Array

_ELEMENTS = 1 << 20
"""Rounded at a time."""
_CANDIDATES = 8
"""Times the square root of how many weights a channel has: errors add up to some such multiple of one."""


def round_weights(weights: Array) -> Array:
    """Return float32 weights [O, ...] as numbers of bfloat16, those of each of O channels together."""
    if not weights.size:
        return weights
    rows = weights.reshape(len(weights), -1).astype(np.float32, copy=False)
    step = max(1, _ELEMENTS // rows.shape[1])
    with ThreadPoolExecutor(available_cores()) as pool:
        rounded = pool.map(_round_rows, (rows[start : start + step] for start in range(0, len(rows), step)))
        return np.concatenate(list(rounded)).reshape(weights.shape)


@np.errstate(invalid="ignore")  # an infinity stays, and leaves nothing to cancel
def _round_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    nearest = rows.astype(ml_dtypes.bfloat16)
    error = nearest.astype(np.float32) - rows
    total = error.sum(1, dtype=np.float64, keepdims=True)
    towards = np.where(error > 0, -np.inf, np.inf).astype(ml_dtypes.bfloat16)
    step = np.nextafter(nearest, towards).astype(np.float32) - nearest.astype(np.float32)
    serves = np.isfinite(step) & (error * total > 0)
    step = np.where(serves, step, 0)
    cost = np.where(serves, np.abs(step) - 2 * np.abs(error), np.inf)  # of rounding to the other one, by its gain
    order = _smallest(cost)
    steps, result = np.take_along_axis(step, order, 1), nearest.astype(np.float32)
    sums = total + np.cumsum(steps, 1, dtype=np.float64)
    count = np.argmin(np.abs(np.concatenate([total, sums], 1)), 1)[:, np.newaxis]
    moved = np.take_along_axis(result, order, 1) + np.where(np.arange(order.shape[1]) < count, steps, 0)
    np.put_along_axis(result, order, moved, 1)
    return result


def _smallest(cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return where the smallest of each row are, in order."""
    count = min(cost.shape[1], _CANDIDATES * math.isqrt(cost.shape[1]))
    places: NDArray[np.intp] = np.argpartition(cost, count - 1, 1)[:, :count]
    return np.take_along_axis(places, np.argsort(np.take_along_axis(cost, places, 1), 1), 1)
