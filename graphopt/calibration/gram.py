"""Second moments of what a layer multiplies its weight with.

All that the closed forms of quantization ask about the data of a layer: with columns x, the mean square of the error
that a changed weight row w + d makes is d·E[x xᵀ]·dᵀ, and its mean d·E[x] (B. Hassibi, D. Stork: Second order
derivatives for network pruning, 1993; E. Frantar, D. Alistarh: Optimal brain compression, 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from graphopt.calibration.window import Float32

if TYPE_CHECKING:  # what multiplies is onnxruntime, which passes that read Gram matrices do without
    from graphopt.calibration.products import Multiply

LARGEST_SIDE = 4608
"""The largest K whose K × K products are kept: that of ResNet-50's last convolutions of 3 × 3 taps, 170 MB each."""

Float64 = npt.NDArray[np.float64]


class Gram:
    """Sums over columns x [K] of G groups: K = C/G·kh·kw in the order of a Conv's weight, K rows of a matrix.

    Sums of two parts are those of the whole but for the rounding of float64, and of the float32 in which a block of
    columns is multiplied.

    Attributes:
        count: of columns; each place of the output is one, in each sample.
        sums: Σ x, [G, K].
        products: Σ x xᵀ, [G, K, K], or [G, K], the diagonals alone, where K is larger than `LARGEST_SIDE`.

    """

    def __init__(self, groups: int, size: int) -> None:
        self.count = 0
        self.sums: Float64 = np.zeros((groups, size))
        self.products: Float64 = np.zeros((groups, size, size) if size <= LARGEST_SIDE else (groups, size))

    @property
    def is_diagonal(self) -> bool:
        """Whether only the mean squares of each element of a column are known."""
        return self.products.ndim == 2

    @property
    def mean(self) -> Float64:
        """E[x], [G, K]."""
        return self.sums / max(self.count, 1)

    @property
    def moment(self) -> Float64:
        """E[x xᵀ], [G, K, K], or its diagonals [G, K]."""
        return self.products / max(self.count, 1)

    def add(self, columns: Float32, multiply: Multiply) -> None:
        """Add columns that lie side by side, [G, K, columns]; `multiply` returns their products, [G, K, K]."""
        self.count += columns.shape[2]
        self.sums += columns.sum(axis=2)
        if self.is_diagonal:
            self.products += np.square(columns).sum(axis=2)
        else:
            self.products += multiply(columns)

    def merge(self, other: Gram) -> Gram:
        """Return the sums over the columns of both."""
        groups, size = self.sums.shape
        merged = Gram(groups, size)
        for part in (self, other):
            merged.count += part.count
            merged.sums += part.sums
            merged.products += part.products
        return merged
