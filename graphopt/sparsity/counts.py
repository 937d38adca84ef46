"""How many weights of each layer become zero, said without data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphopt.quantization.rows import Float64
from graphopt.tensors import Array


def below_threshold(weights: Mapping[str, Array], threshold: float) -> dict[str, int]:
    """Count the weights that w·1(|w| > threshold) sets to zero."""
    return {name: int((_magnitudes(array) <= threshold).sum()) for name, array in weights.items()}


def in_each(weights: Mapping[str, Array], fraction: float) -> dict[str, int]:
    """Return the same share of each layer, rounded."""
    return {name: round(fraction * array.size) for name, array in weights.items()}


def over_all(weights: Mapping[str, Array], fraction: float) -> dict[str, int]:
    """Return how many weights of each are among the smallest share of all, by their absolute values."""
    magnitudes = {name: _magnitudes(array).ravel() for name, array in weights.items()}
    everything = np.concatenate(list(magnitudes.values()))
    due = np.zeros(everything.size, bool)
    due[np.argsort(everything, kind="stable")[: round(fraction * everything.size)]] = True
    borders = np.cumsum([array.size for array in magnitudes.values()])[:-1]
    return {name: int(part.sum()) for name, part in zip(magnitudes, np.split(due, borders), strict=True)}


def _magnitudes(array: Array) -> Float64:
    return np.abs(array.astype(np.float64))
