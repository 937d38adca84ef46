"""The closed forms of linear maps of few features, group by group: all arrays lead with the groups.

C. Eckart, G. Young: The approximation of one matrix by another of lower rank, 1936, gives the best map of a rank in the
Frobenius norm; A. Izenman: Reduced-rank regression for the multivariate linear model, 1975, that under a moment H. It
projects what W makes onto the eigenvectors of its own moment W·H·Wᵀ, so that H is never inverted.

A moment is [groups, columns, columns], or its diagonals [groups, columns].
"""

from __future__ import annotations

import numpy as np

from graphopt.calibration.gram import Float64

_NEGLIGIBLE = 1e-12
"""Eigenvalues so small beside the largest are those of rounding."""


def weigh(rows: Float64, moment: Float64) -> Float64:
    """Return rows·H."""
    return rows @ moment if moment.ndim == 3 else rows * moment[:, None, :]


def root_of(moment: Float64) -> Float64:
    """Return L of H = L·Lᵀ, [groups, n, n]."""
    if moment.ndim == 3:
        return np.asarray(np.linalg.cholesky(moment))
    return np.sqrt(moment)[:, :, None] * np.eye(moment.shape[1])


def best_outputs(rows: Float64, moment: Float64, rank: int) -> Float64:
    """Return U [groups, outputs, rank] with orthonormal columns for which U·Uᵀ·rows is the best map of that rank."""
    made = weigh(rows, moment) @ rows.transpose(0, 2, 1)
    _, vectors = np.linalg.eigh((made + made.transpose(0, 2, 1)) / 2)
    return vectors[:, :, : -rank - 1 : -1]


def best_inputs(rows: Float64, moment: Float64, rank: int) -> Float64:
    """Return P [groups, rank, columns], the features of the columns that the best map of that rank reads.

    The same map as by `best_outputs`, for rows many more than columns: with H = L·Lᵀ and the right singular vectors V
    of W·L, P = Vᵀ·L⁻¹, here with orthonormal rows.
    """
    root = root_of(moment)
    white = rows @ root
    _, vectors = np.linalg.eigh(white.transpose(0, 2, 1) @ white)
    features = np.linalg.solve(root.transpose(0, 2, 1), vectors[:, :, : -rank - 1 : -1])
    return np.linalg.qr(features)[0].transpose(0, 2, 1)


def regress(rows: Float64, features: Float64, moment: Float64) -> Float64:
    """Return A [groups, outputs, q] for which A·features is nearest to rows: W·H·Dᵀ·(D·H·Dᵀ)⁻¹."""
    weighted = weigh(features, moment)
    inverse = np.linalg.pinv(weighted @ features.transpose(0, 2, 1), rcond=_NEGLIGIBLE, hermitian=True)
    return rows @ weighted.transpose(0, 2, 1) @ inverse
