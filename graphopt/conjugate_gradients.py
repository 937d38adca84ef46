"""Linear equations of which few unknowns are free, other ones in each row (M. Hestenes, E. Stiefel, 1952)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

PRECISION = 1e-12
"""A row is solved where its residual, squared and weighed by the diagonal, is such a part of what it was."""


def conjugate_gradients(matrix: Float64, right: Float64, free: npt.NDArray[np.bool_], steps: int) -> Float64:
    """Solve (Δ A)∘S = R∘S, Δ = Δ∘S, for all rows of Δ at once: a factorization for each row's S would cost K³ a row.

    The diagonal of A preconditions. Each step lessens the error, so that fewer than K are an answer too.

    Args:
        matrix: A, symmetric and positive definite, [G, K, K].
        right: R, [G, R, K].
        free: S, which unknowns of a row may be other than zero, [G, R, K].
        steps: at most.

    """
    scale = np.diagonal(matrix, axis1=1, axis2=2)[:, None, :]
    found, residual = np.zeros_like(right), right * free
    ahead = residual / scale
    direction, fall = ahead, (residual * ahead).sum(2, keepdims=True)
    enough = PRECISION * fall
    for _ in range(steps):
        image = (direction @ matrix) * free
        curvature = (direction * image).sum(2, keepdims=True)
        step = np.divide(fall, curvature, out=np.zeros_like(fall), where=curvature > 0)
        found += step * direction
        residual = residual - step * image
        ahead = residual / scale
        before, fall = fall, (residual * ahead).sum(2, keepdims=True)
        if (fall <= enough).all():
            break
        direction = ahead + np.divide(fall, before, out=np.zeros_like(fall), where=before > 0) * direction
    return found
