"""The canonical polyadic decomposition of a tensor, by alternating least squares.

T. Kolda, B. Bader: Tensor decompositions and applications, 2009, section 3.4. Written here, since tensorly would bring
scipy and its own backends for these fifty lines.
"""

from __future__ import annotations

import numpy as np

from graphopt.calibration.gram import Float64

SWEEPS = 60
"""Each improves all factors once. What is left to gain after is regained where the last factor is fitted to data."""
ENOUGH = 1e-4
"""A sweep that moves the error by a smaller share of the tensor's norm is the last one."""
_RIDGE = 1e-9
"""A share of the squares of the other factors: columns may become parallel."""


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
            product = _product(tensor, factors, axis)
            factors[axis] = _solved(product, factors, axis)
            if axis:
                factors[axis] /= np.maximum(np.linalg.norm(factors[axis], axis=0), np.finfo(np.float64).tiny)
        last, error = error, _distance(norm, product, factors)
        if last - error < ENOUGH * norm:
            break
    return factors


def _product(tensor: Float64, factors: list[Float64], axis: int) -> Float64:
    """Return T₍ₙ₎·K, [size, rank], K being the Khatri-Rao product of the other factors, the longest one first."""
    longest, *others = sorted(
        (other for other in range(tensor.ndim) if other != axis), key=lambda other: -tensor.shape[other]
    )
    left = [other for other in range(tensor.ndim) if other != longest]
    product = np.tensordot(tensor, factors[longest], (longest, 0))
    for other in others:
        place = left.index(other)
        shape = [tensor.shape[other] if index == place else 1 for index in range(len(left))]
        product = (product * factors[other].reshape(*shape, -1)).sum(axis=place)
        left.remove(other)
    return np.asarray(product)


def _solved(product: Float64, factors: list[Float64], axis: int) -> Float64:
    """Return the factor of one axis that is best beside the others, T₍ₙ₎·K·(KᵀK)⁻¹."""
    gram = np.prod([factor.T @ factor for other, factor in enumerate(factors) if other != axis], axis=0)
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    return np.asarray(np.linalg.solve(gram, product.T).T)


def _distance(norm: float, product: Float64, factors: list[Float64]) -> float:
    """Return how far the sum of products is from the tensor, by what is known of the first axis."""
    square = float(np.prod([factor.T @ factor for factor in factors], axis=0).sum())
    return float(np.sqrt(max(norm**2 - 2 * float((product * factors[0]).sum()) + square, 0.0)))


def _start(unfolded: Float64, rank: int, rng: np.random.Generator) -> Float64:
    _, vectors = np.linalg.eigh(unfolded @ unfolded.T)
    found = vectors[:, ::-1][:, :rank]
    noise = rng.standard_normal((len(found), rank - found.shape[1])) / np.sqrt(len(found))
    return np.concatenate([found, noise], axis=1)


def _unfolded(tensor: Float64, axis: int) -> Float64:
    return np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
