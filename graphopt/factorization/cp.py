"""The canonical polyadic decomposition of a tensor, by alternating least squares.

T. Kolda, B. Bader: Tensor decompositions and applications, 2009, section 3.4. Written here, since tensorly would bring
scipy and its own backends for these thirty lines.
"""

from __future__ import annotations

import numpy as np

from graphopt.calibration.gram import Float64

SWEEPS = 60
"""Each improves all factors once. What is left to gain after is regained where the last factor is fitted to data."""
ENOUGH = 1e-5
"""A sweep that moves the error by a smaller share of the tensor's norm is the last one."""


def decompose(tensor: Float64, rank: int, *, seed: int = 0) -> list[Float64]:
    """Return factors [size, rank], one an axis, the sum of whose products is near to a tensor.

    All but the first have columns of length 1. They start as the principal directions of each axis, and as noise where
    an axis has fewer of these than the rank.
    """
    rng = np.random.default_rng(seed)
    factors = [_start(_unfolded(tensor, axis), rank, rng) for axis in range(tensor.ndim)]
    norm, error = float(np.linalg.norm(tensor)), np.inf
    for _ in range(SWEEPS if norm else 0):
        for axis in reversed(range(tensor.ndim)):
            factors[axis] = _fitted(tensor, factors, axis)
            if axis:
                factors[axis] /= np.maximum(np.linalg.norm(factors[axis], axis=0), np.finfo(np.float64).tiny)
        last, error = error, _error(tensor, factors)
        if last - error < ENOUGH * norm:
            break
    return factors


def _fitted(tensor: Float64, factors: list[Float64], axis: int) -> Float64:
    """Return the factor of one axis that is best beside the others: T₍ₙ₎·K·(KᵀK)⁻¹."""
    others = factors[:axis] + factors[axis + 1 :]
    gram = np.prod([factor.T @ factor for factor in others], axis=0)
    return _unfolded(tensor, axis) @ _khatri_rao(others) @ np.linalg.pinv(gram, hermitian=True)


def _khatri_rao(factors: list[Float64]) -> Float64:
    """Return the products of the columns of factors, as the axes of an unfolded tensor lie: [Π sizes, rank]."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, None, :] * factor[None, :, :]).reshape(-1, factor.shape[1])
    return product


def _error(tensor: Float64, factors: list[Float64]) -> float:
    return float(np.linalg.norm(_unfolded(tensor, 0) - factors[0] @ _khatri_rao(factors[1:]).T))


def _start(unfolded: Float64, rank: int, rng: np.random.Generator) -> Float64:
    _, vectors = np.linalg.eigh(unfolded @ unfolded.T)
    found = vectors[:, ::-1][:, :rank]
    noise = rng.standard_normal((len(found), rank - found.shape[1])) / np.sqrt(len(found))
    return np.concatenate([found, noise], axis=1)


def _unfolded(tensor: Float64, axis: int) -> Float64:
    return np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
