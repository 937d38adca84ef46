"""Rounding weights so that a layer's outputs stay, rather than the weights.

What a row w of a weight loses by becoming ŵ is E[((w - ŵ)·x)²] = (w - ŵ) G (w - ŵ)ᵀ, where G = E[x xᵀ] is the Gram
matrix of the layer's inputs. Rounding to the nearest minimizes it only where G is diagonal. Finding the least is a
closest vector problem; a good answer is found in two steps, and each row keeps the nearest where that is better:

- Error compensation: column by column, what rounding one costs is made good by those that follow (Frantar et al. 2022,
  "Optimal Brain Compression", and "GPTQ"). It is done without an inverse: with R upper triangular and G = R Rᵀ, column
  j is rounded from w_j + Σ_{i<j} (w_i - ŵ_i) R_ij / R_jj, which is Babai's nearest plane (Chen et al. 2025, "The
  Geometry of LLM Quantization"). Columns that matter most come first.
- Coordinate descent from there: each integer moves by the step that lessens the form most, until none does. It looks
  for what Nagel et al. 2020 ("Up or Down? Adaptive Rounding") learn by gradient, from G alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.calibration.gram import damped
from graphopt.quantization.affine import Affine
from graphopt.quantization.rows import Float64, from_rows, grid_of, to_rows
from graphopt.tensors import Array

Steps = npt.NDArray[np.int64]
Nearest = Callable[[Float64], Float64]
"""Takes real numbers [groups, rows, any], returns of each the nearest that its row may have."""

DAMPING = 0.1
"""The share of the mean of the diagonal that is added to it: samples are few, and some inputs were never seen.

On EfficientNet-Lite0, moments from half of 100 pictures and the error of the answers to the others, 0.1 and 0.3 were
better than 0.01 by a hair, and all of them twice as good as the nearest.
"""

_BLOCK = 128  # columns whose errors are carried to the rest by one product
_SWEEPS = 20


def round_weight(
    node: ir.Node, weight: Array, affine: Affine, gram: Float64, *, limit: int | None = None, damping: float = DAMPING
) -> Array:
    """Return the integers of a layer's weight, in its shape, of the dtype of `affine`.

    Args:
        node: a Conv, ConvTranspose, Gemm or MatMul.
        weight: its weight, real numbers.
        affine: scale and zero point, of the tensor or of the output channels.
        gram: [groups, columns, columns], second moments of what multiplies the weight; [groups, columns] where only
            the diagonal is known, for which the nearest is the best.
        limit: the largest step from zero, where the range of the dtype shall not be used in full.
        damping: the share of the mean of the diagonal that is added to it.

    Raises:
        ValueError: the Gram matrix is not one of this weight.

    """
    rows = to_rows(node, weight.astype(np.float64))
    groups, _, columns = rows.shape
    if gram.shape not in ((groups, columns, columns), (groups, columns)):
        raise ValueError(f"a Gram matrix of shape {gram.shape} is none of {groups} groups of {columns} columns")
    scale, zero = grid_of(node, affine, weight.shape)
    least, greatest = (end - zero for end in affine.limits)
    if limit is not None:
        least, greatest = np.maximum(least, -limit), np.minimum(greatest, limit)
    steps = round_rows(rows / scale[..., None], gram, least, greatest, damping=damping)
    return from_rows(node, steps + zero[..., None], weight.shape).astype(affine.dtype)


def round_rows(
    target: Float64, gram: Float64, least: npt.ArrayLike, greatest: npt.ArrayLike, *, damping: float = DAMPING
) -> Steps:
    """Return integers near `target` [groups, rows, columns], whose error by `gram` is nowhere above the nearest's.

    `least` and `greatest` bound them, one number each or [groups, rows].
    """
    nearest_to = integers(np.broadcast_to(least, target.shape[:2]), np.broadcast_to(greatest, target.shape[:2]))
    nearest = nearest_to(target)
    if gram.ndim == 2:
        return nearest.astype(np.int64)
    solvable = damped(gram, damping)
    try:
        start = compensate(target, solvable, nearest_to)
    except np.linalg.LinAlgError:
        solvable = _lifted(solvable)
        start = compensate(target, solvable, nearest_to)
    found = descend(start, target, solvable, nearest_to)
    is_better = quadratic_error(target - found, gram) < quadratic_error(target - nearest, gram)
    return np.where(is_better[..., None], found, nearest).astype(np.int64)


def quadratic_error(difference: Float64, gram: Float64) -> Float64:
    """Return d G dᵀ of each row d of [groups, rows, columns]; the Gram matrix may be given by its diagonal."""
    weighted = difference * gram[:, None] if gram.ndim == 2 else difference @ gram
    return np.asarray((weighted * difference).sum(-1))


def integers(least: Array, greatest: Array) -> Nearest:
    """Return what rounds to integers between bounds, [groups, rows]."""
    lower, upper = least[..., None], greatest[..., None]
    return lambda place: np.asarray(np.minimum(np.maximum(np.rint(place), lower), upper))


def compensate(target: Float64, gram: Float64, nearest: Nearest) -> Float64:
    """Round column by column, and carry each error to the columns that follow; the Gram matrix is positive definite."""
    order = np.argsort(-np.diagonal(gram, axis1=1, axis2=2), axis=1, kind="stable")
    arranged = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), order[:, None, :], 2)
    carried = _upper_factor(arranged)
    carried /= np.diagonal(carried, axis1=1, axis2=2)[:, None, :].copy()
    wanted = np.take_along_axis(target, order[:, None, :], 2)
    moved, rounded = wanted.copy(), np.empty_like(wanted)
    columns = target.shape[2]
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        for column in range(start, stop):
            rounded[..., column] = nearest(moved[..., column, None])[..., 0]
            error = wanted[..., column] - rounded[..., column]
            moved[..., column + 1 : stop] += error[..., None] * carried[:, None, column, column + 1 : stop]
        errors = wanted[..., start:stop] - rounded[..., start:stop]
        moved[..., stop:] += errors @ carried[:, start:stop, stop:]
    return np.take_along_axis(rounded, np.argsort(order, axis=1)[:, None, :], 2)


def descend(steps: Float64, target: Float64, gram: Float64, nearest: Nearest) -> Float64:
    """Move one element of each row at a time to where the error is least, in turns, until none moves."""
    steps = steps.copy()
    slope = (target - steps) @ gram
    curvature = np.diagonal(gram, axis1=1, axis2=2)[:, None]
    for _ in range(_SWEEPS):
        movable = (nearest(steps + slope / curvature) != steps).any(axis=(0, 1))
        if not movable.any():
            break
        for column in np.flatnonzero(movable):
            now = steps[..., column]
            there = nearest((now + slope[..., column] / curvature[..., column])[..., None])[..., 0]
            group, row = np.nonzero(there != now)
            move = (there - now)[group, row]
            steps[group, row, column] += move
            slope[group, row] -= move[:, None] * gram[group, column]
    return steps


def _lifted(gram: Float64) -> Float64:
    """Return the matrix positive definite: a covariance near zero may have lost that to rounding."""
    values = np.linalg.eigvalsh(gram)
    lifted, columns = gram.copy(), np.arange(gram.shape[1])
    size = np.abs(values).max(axis=1, keepdims=True)
    lifted[:, columns, columns] += np.maximum(-2 * values[:, :1], np.where(size > 0, 1e-6 * size, 1.0))
    return lifted


def _upper_factor(gram: Float64) -> Float64:
    """Return R, upper triangular, with G = R Rᵀ: Cholesky's factor from the last row upwards."""
    return np.asarray(np.linalg.cholesky(gram[:, ::-1, ::-1])[:, ::-1, ::-1].copy(), np.float64)
