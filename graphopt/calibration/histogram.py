"""Histograms in fixed memory that merge exactly.

Bin k holds the values x with k · 2^e ≤ x < (k + 1) · 2^e, so that zero is an edge whatever the width, and two bins of
one width are one bin of the next. The exponent e is the least with which all values lie in the bins that there are: it
follows from the values alone, and so do the counts, whatever the order in which values and parts arrive. (A product
with a power of two is exact, but for negative doubles 2^1000 times smaller than the largest value, which become zeros.)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from graphopt.tensors import Array

BINS = 2048
"""On each side of zero; at least half of those on the side of the larger values are in use."""
_LEAST_EXPONENT = -1022
_BLOCK = 1 << 15
"""Elements that are sorted into bins together, so that what lies between stays in the cache."""


class Histogram:
    """How often values occur.

    Attributes:
        exponent: e, as the width of the bins is 2^e.
        counts: int64 [2 · BINS], in each bin, exact zeros included.
        zeros: how many values are exactly 0, which every range represents without an error.
        minimum, maximum: of the values; infinities of the wrong sign where there is none.

    """

    def __init__(self) -> None:
        self.exponent = _LEAST_EXPONENT
        self.counts = np.zeros(2 * BINS, np.int64)
        self.zeros = 0
        self.minimum = math.inf
        self.maximum = -math.inf

    @property
    def count(self) -> int:
        """How many values there are."""
        return int(self.counts.sum())

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """The borders of the bins, [2 · BINS + 1]; that in the middle is 0."""
        return np.ldexp(np.arange(-BINS, BINS + 1, dtype=np.float64), self.exponent)

    def add(self, values: Array) -> None:
        """Count the values of an array of any shape and floating-point type.

        Raises:
            ValueError: one of them is not finite; none is counted.

        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("values are not finite")
        self._widen(low, high)
        flat, scale = values.reshape(-1), math.ldexp(1.0, -self.exponent)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            self.zeros += block.size - int(np.count_nonzero(block))
            bins = np.floor(block.astype(np.float64) * scale).astype(np.intp)
            self.counts += np.bincount(bins + BINS, minlength=2 * BINS)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of the values of both."""
        merged = Histogram()
        for part in (self, other):
            merged._widen(part.minimum, part.maximum)
        for part in (self, other):
            merged.counts += _coarser(part.counts, merged.exponent - part.exponent)
        merged.zeros = self.zeros + other.zeros
        return merged

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._state() == other._state()

    __hash__ = None  # type: ignore[assignment]  # it changes as values are added

    def __repr__(self) -> str:
        return f"Histogram({self.count} values in [{self.minimum:g}, {self.maximum:g}], bins of 2^{self.exponent})"

    def _widen(self, low: float, high: float) -> None:
        """Take extremes in, and double the bins until both lie in one; they may be those of no value."""
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        peak = max(abs(self.minimum), abs(self.maximum))
        if not math.isfinite(peak):
            return
        exponent = max(math.frexp(peak)[1] - int(math.log2(BINS)), _LEAST_EXPONENT)
        self.counts = _coarser(self.counts, exponent - self.exponent)
        self.exponent = exponent

    def _state(self) -> tuple[object, ...]:
        return self.exponent, self.zeros, self.minimum, self.maximum, self.counts.tobytes()


def _coarser(counts: npt.NDArray[np.int64], doublings: int) -> npt.NDArray[np.int64]:
    """Return the counts in bins of 2^doublings times the width."""
    if not doublings:
        return counts
    bins = np.arange(-BINS, BINS) >> min(doublings, 62)
    coarse = np.zeros_like(counts)
    np.add.at(coarse, bins + BINS, counts)
    return coarse
