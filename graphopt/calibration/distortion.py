"""How much a tensor's values change when integers stand for them, computed from their histogram.

Values are taken to be spread evenly inside of each bin, and exact zeros to be what they are. Then the mean square
error is an integral of the squared distance to the nearest of the values that there are integers for. It has a closed
form: for steps of s, with u = k · s + r and |r| ≤ s / 2, the integral from 0 to u is k · s³ / 12 + r³ / 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphopt.calibration.histogram import BINS, Histogram

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The values that integers stand for: multiples of `step` from `lowest` to `highest`, 0 among them."""

    step: float
    lowest: float
    highest: float

    @staticmethod
    def spanning(lower: float, upper: float, levels: int, symmetric: bool) -> Grid:
        """Return the grid of `levels` integers for a range with lower ≤ 0 ≤ upper (ONNX operator spec, QuantizeLinear).

        A symmetric one has as many steps above zero as below. Another is moved by up to half a step, for zero to be in.
        """
        if symmetric:
            step = max(-lower, upper) / ((levels - 1) // 2)
            return Grid(step, -step * ((levels - 1) // 2), step * ((levels - 1) // 2))
        step = (upper - lower) / (levels - 1)
        zero_point = round(-lower / step) if step else 0
        return Grid(step, -zero_point * step, (levels - 1 - zero_point) * step)

    def integral(self, ends: Float64) -> Float64:
        """Return the integral of the squared error from 0 to each of `ends`."""
        inside = np.clip(ends, self.lowest, self.highest)
        steps = np.round(inside / self.step) if self.step else np.zeros_like(inside)
        rest = inside - steps * self.step
        return steps * (self.step**3 / 12) + (_cube(rest) + _cube(ends - inside)) / 3

    def squared_error(self, values: Float64) -> Float64:
        """Return the squared error of single values."""
        inside = np.clip(values, self.lowest, self.highest)
        nearest = np.round(inside / self.step) * self.step if self.step else np.zeros_like(inside)
        return np.square(values - nearest)


def _cube(values: Float64) -> Float64:
    """Return the third power: numpy's own takes ten times as long."""
    return values * values * values


@dataclass(frozen=True)
class Segments:
    """The bins that hold values, exact zeros aside, in units of a bin's width; as wide as the values in them may lie.

    Attributes:
        left, right: borders, ascending.
        mass: how many values lie between.
        total: how many values there are, zeros included.
        exponent: the unit is 2^exponent.

    """

    left: Float64
    right: Float64
    mass: Float64
    total: int
    exponent: int

    @staticmethod
    def of(histogram: Histogram) -> Segments:
        """Return those of a histogram."""
        counts = histogram.counts.astype(np.float64)
        counts[BINS] -= histogram.zeros
        used = np.flatnonzero(counts)
        borders = (used - BINS).astype(np.float64)
        low, high = (math.ldexp(end, -histogram.exponent) for end in (histogram.minimum, histogram.maximum))
        left, right = np.maximum(borders, low), np.minimum(borders + 1, high)
        return Segments(left, right, counts[used], histogram.count, histogram.exponent)

    def together(self, bins: int) -> Segments:
        """Return those of so many neighbouring bins together; the unit stays."""
        group = np.floor(np.floor(self.left) / bins)
        first = np.flatnonzero(np.diff(group, prepend=np.nan))  # NaN differs from all
        last = np.append(first[1:], len(group)) - 1
        mass = np.add.reduceat(self.mass, first)
        return Segments(self.left[first], self.right[last], mass, self.total, self.exponent)

    def error(self, grid: Grid) -> float:
        """Return the mean square error of a grid, both in squares of the unit."""
        widths = self.right - self.left
        spread = (grid.integral(self.right) - grid.integral(self.left)) / np.where(widths > 0, widths, 1)
        errors = np.where(widths > 0, spread, grid.squared_error(self.left))
        return float(self.mass @ np.maximum(errors, 0)) / max(self.total, 1)


def expected_error(histogram: Histogram, lower: float, upper: float, levels: int, symmetric: bool) -> float:
    """Return the mean square error that `levels` integers for [lower, upper] make, rounding and clipping.

    Args:
        histogram: of the tensor's values.
        lower, upper: with lower ≤ 0 ≤ upper.
        levels: how many integers there are, 3 or more.
        symmetric: whether the integer 0 stands for 0 and as many lie above it as below.

    """
    unit = -histogram.exponent
    grid = Grid.spanning(math.ldexp(lower, unit), math.ldexp(upper, unit), levels, symmetric)
    return math.ldexp(Segments.of(histogram).error(grid), -2 * unit)
