"""The normal equations of a layer: what it multiplies, and what it shall make of it, summed up as data go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from graphopt.backends.ort.reference import reference_session
from graphopt.calibration.gram import LARGEST_SIDE
from graphopt.calibration.window import Float32
from graphopt.ir.text.parser import parse_model
from graphopt.quantization.rows import Float64

Multiply = Callable[[Float32, Float32], Float32]
"""Takes [G, R, n] and [G, K, n], returns the products [G, R, K] of the rows of one with those of the other."""

_PRODUCT = """
rows_times_columns (float[G,R,n] rows, float[G,K,n] columns) => (float[G,R,K] products)
{
    turned = Transpose <perm = [0, 2, 1]> (columns)
    products = MatMul (rows, turned)
}
"""


def multiply_with(threads: int) -> Multiply:
    """Return what multiplies with so many threads; 0 means as many as this process may run on."""
    session = reference_session(parse_model(_PRODUCT), threads=threads, optimize=True)
    return lambda rows, columns: cast("Float32", session.run({"rows": rows, "columns": columns})["products"])


class Equations:
    """Sums over columns x [K] and targets y [R] of G groups; those of two parts add up.

    Sums are of float64; products of a block of columns are made in float32.

    Attributes:
        count: of columns.
        x, y: Σ x [G, K], and Σ y [G, R].
        xx: Σ x xᵀ, [G, K, K]; None where K is too large to keep it, so that only means are known.
        yx: Σ y xᵀ, [G, R, K]; None likewise.
        yy: Σ y², [G, R].

    """

    def __init__(self, groups: int, size: int, rows: int) -> None:
        fits = size <= LARGEST_SIDE
        self.count = 0
        self.x: Float64 = np.zeros((groups, size))
        self.y: Float64 = np.zeros((groups, rows))
        self.yy: Float64 = np.zeros((groups, rows))
        self.xx: Float64 | None = np.zeros((groups, size, size)) if fits else None
        self.yx: Float64 | None = np.zeros((groups, rows, size)) if fits else None

    def add(self, columns: Float32, targets: Float32, multiply: Multiply) -> None:
        """Add columns [G, K, n] that lie side by side, and their targets [G, R, n]."""
        self.count += columns.shape[2]
        self.x += columns.sum(axis=2, dtype=np.float64)
        self.y += targets.sum(axis=2, dtype=np.float64)
        self.yy += np.square(targets, dtype=np.float64).sum(axis=2)
        if self.xx is not None and self.yx is not None:
            self.xx += multiply(columns, columns)
            self.yx += multiply(targets, columns)

    def __add__(self, other: Equations) -> Equations:
        groups, rows, size = *self.y.shape, self.x.shape[1]
        both = Equations(groups, size, rows)
        for part in (self, other):
            both.count += part.count
            both.x += part.x
            both.y += part.y
            both.yy += part.yy
            if both.xx is not None and both.yx is not None and part.xx is not None and part.yx is not None:
                both.xx += part.xx
                both.yx += part.yx
        return both


def total(parts: Sequence[Equations]) -> Equations:
    """Return the sums over all parts, one at least."""
    first, *others = parts
    return sum(others, start=first)
