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

    def spread(self, *, about_mean: bool) -> Float64:
        """Return the covariance, or second moments about zero, [G, K, K], or its diagonals [G, K].

        What few columns say of how inputs go together is chance: it counts as far as there are more columns than
        inputs, n / (n + K) of n columns of K elements, in the manner of O. Ledoit and M. Wolf: A well-conditioned
        estimator for large-dimensional covariance matrices, 2004. Behind a global pool a sample is one column.
        """
        mean = self.mean if about_mean else np.zeros_like(self.mean)
        if self.is_diagonal:
            return self.moment - np.square(mean)
        size = mean.shape[1]
        spread = self.moment - mean[:, :, None] * mean[:, None, :]
        spread[:, ~np.eye(size, dtype=bool)] *= self.count / (self.count + size)
        return spread

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


def damped(moment: Float64, share: float) -> Float64:
    """Return moments [G, K, K], positive definite by what is added to the diagonal: a share of its mean.

    Samples are few, and some inputs were never seen; of moments that are all zero, 1 is added.
    """
    columns = np.arange(moment.shape[1])
    mean = np.trace(moment, axis1=1, axis2=2) / len(columns)
    lifted = moment.copy()
    lifted[:, columns, columns] += np.where(mean > 0, share * mean, 1.0)[:, None]
    return lifted
