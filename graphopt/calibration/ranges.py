"""Which range of values the integers of a tensor stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

import numpy as np

from graphopt.calibration.distortion import Float64, Grid, Segments
from graphopt.calibration.histogram import Histogram

KEPT = 0.9999
"""The share of values that PERCENTILE does not clip; the best of three in Wu et al. for most networks."""
EXPECTED = 5
"""How many values a bin should have for a divergence to mean anything: it is the statistic of a G-test, whose rule
this is (W. Cochran: Some methods for strengthening the common χ² tests, 1954). Of fewer, one more or less decides."""
_OCTAVES = 8
"""A range that is searched for is at most 2^8 times smaller than that of all values."""
_TURNS = 3

Range = tuple[float, float]
Score = Callable[[Range], float]


class RangeMethod(StrEnum):
    """How to weigh the rounding of all values, finer in a small range, against the clipping of a few.

    MINMAX clips none. PERCENTILE clips the outermost 0.01 % (H. Wu et al.: Integer quantization for deep learning
    inference: principles and empirical evaluation, 2020). ENTROPY makes the divergence of Kullback and Leibler
    between the values and their integers least (S. Migacz: 8-bit inference with TensorRT, 2017). MSE makes the
    expected mean square error least (R. Banner et al.: Post training 4-bit quantization of convolutional networks
    for rapid-deployment, 2019). AUTO takes that of the four with the least expected mean square error.
    """

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"
    AUTO = "auto"


def choose_range(histogram: Histogram, method: RangeMethod, levels: int, symmetric: bool) -> Range:
    """Return the lower and the upper clipping value, lower ≤ 0 ≤ upper, so that zero is always representable.

    Both are 0 where all values are, or where there are none.

    Args:
        histogram: of the tensor's values.
        method: see RangeMethod.
        levels: how many integers there are, 256 for 8 bits.
        symmetric: whether the range is to be [-t, t], with as many steps above zero as below.

    Raises:
        ValueError: there are less than 3 levels.

    """
    if levels < 3:
        raise ValueError(f"{levels} levels are too few for a range")
    if histogram.count == histogram.zeros:
        return 0.0, 0.0
    segments = Segments.of(histogram)
    whole = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    if symmetric:
        whole = -max(-whole[0], whole[1]), max(-whole[0], whole[1])
    scaled = math.ldexp(whole[0], -segments.exponent), math.ldexp(whole[1], -segments.exponent)
    lower, upper = _choose(segments, method, scaled, levels, symmetric)
    return math.ldexp(lower, segments.exponent), math.ldexp(upper, segments.exponent)


def _choose(segments: Segments, method: RangeMethod, whole: Range, levels: int, symmetric: bool) -> Range:
    """Choose inside of the range of all values, everything in units of a bin."""

    def error(span: Range) -> float:
        return segments.error(Grid.spanning(*span, levels, symmetric))

    match method:
        case RangeMethod.MINMAX:
            return whole
        case RangeMethod.PERCENTILE:
            return _percentile(segments, whole, symmetric)
        case RangeMethod.ENTROPY:
            width = _telling_width(segments, whole)
            parts = segments.together(width)
            return _search(
                lambda span: _divergence(parts, Grid.spanning(*span, levels, symmetric), width), whole, symmetric
            )
        case RangeMethod.MSE:
            return _search(error, whole, symmetric)
        case RangeMethod.AUTO:
            methods = (one for one in RangeMethod if one is not RangeMethod.AUTO)
            return min((_choose(segments, one, whole, levels, symmetric) for one in methods), key=error)


def _search(score: Score, whole: Range, symmetric: bool) -> Range:
    """Return the range with the least score; both ends move together, or in turns until neither does.

    Three turns at most: the ends hardly depend on each other.
    """
    if symmetric:
        end = _shrink(lambda end: score((-end, end)), whole[1])
        return -end, end
    found = whole
    for _ in range(_TURNS):
        before, found = found, _turn(score, whole, found[0])
        if found == before:
            break
    return found


def _turn(score: Score, whole: Range, lower: float) -> Range:
    upper = _shrink(lambda end: score((lower, end)), whole[1])
    return _shrink(lambda end: score((end, upper)), whole[0]), upper


def _shrink(score: Callable[[float], float], end: float) -> float:
    """Make an end smaller by eighths of an octave, then by 64ths around the best; take the widest of equals."""

    def at(octaves: float) -> float:
        return score(end * math.exp2(-octaves))

    if not end:
        return end
    coarse = min((k / 8 for k in range(8 * _OCTAVES)), key=at)
    fine = min((max(coarse + k / 64, 0.0) for k in range(-7, 8)), key=at)
    return end * math.exp2(-fine)


def _percentile(segments: Segments, whole: Range, symmetric: bool) -> Range:
    """Return a range outside of which no more than a ten-thousandth of the values lie.

    It is that of all values where nearly all are zeros, so that nothing would be left.
    """
    clipped = segments.total * (1 - KEPT)
    left, right, mass = segments.left, segments.right, segments.mass
    if symmetric:
        low, high = np.minimum(np.abs(left), np.abs(right)), np.maximum(np.abs(left), np.abs(right))
        order = np.argsort(low)
        end = _tail(low[order], high[order], mass[order], clipped)
        return (-end, end) if end else whole
    share = clipped / 2 if all(whole) else clipped
    upper = _tail(left, right, mass, share) if whole[1] else 0.0
    lower = -_tail(-right[::-1], -left[::-1], mass[::-1], share) if whole[0] else 0.0
    return (min(lower, 0.0), max(upper, 0.0)) if lower < 0 or upper > 0 else whole


def _tail(left: Float64, right: Float64, mass: Float64, clipped: float) -> float:
    """Return the value above which `clipped` values lie, or 0 where that many are not positive."""
    above = np.cumsum(mass[::-1])[::-1]
    index = int(np.flatnonzero(above > clipped)[-1]) if above[0] > clipped else -1
    if index < 0 or right[index] <= 0:
        return 0.0
    beyond = clipped - (above[index] - mass[index])
    return float(right[index] - (right[index] - left[index]) * beyond / mass[index])


def _divergence(segments: Segments, grid: Grid, width: int) -> float:
    """Return the divergence between bins and what is left of them when each integer spreads evenly over its bins.

    What is clipped counts to the outermost bins of the first distribution and not of the second, as in Migacz. Exact
    zeros, which no range changes, are left out; so are bins without values, where the second is none either. Where
    integers lie closer together than bins of `width`, rounding would seem free, and a single bin with all that is
    clipped in it perfect: it is infinite, as the narrowest range of Migacz has a bin for each integer.
    """
    middle = (segments.left + segments.right) / 2
    inside = (middle >= grid.lowest) & (middle <= grid.highest)
    if grid.step < width or not inside.any():
        return math.inf if middle.size else 0.0
    kept = segments.mass[inside]
    integers = np.round((middle[inside] - grid.lowest) / grid.step).astype(np.intp)
    values = kept.copy()
    values[0] += segments.mass[middle < grid.lowest].sum()
    values[-1] += segments.mass[middle > grid.highest].sum()
    spread = (np.bincount(integers, kept) / np.maximum(np.bincount(integers), 1))[integers]
    return float(values @ np.log(values / values.sum() * (spread.sum() / spread))) / float(values.sum())


def _telling_width(segments: Segments, whole: Range) -> int:
    """Return how many bins to take together for `EXPECTED` values in each, on average over the range of all values."""
    bins = (whole[1] - whole[0]) * EXPECTED / float(segments.mass.sum())
    return 1 << max(math.ceil(math.log2(bins)), 0)
