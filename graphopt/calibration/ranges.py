"""Which range of values the integers of a tensor stand for."""

from __future__ import annotations

from enum import StrEnum

from graphopt.calibration.histogram import Histogram


class RangeMethod(StrEnum):
    """How to weigh the rounding of all values, finer in a small range, against the clipping of a few."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"
    AUTO = "auto"


def choose_range(histogram: Histogram, method: RangeMethod, levels: int, symmetric: bool) -> tuple[float, float]:
    """Return the lower and the upper clipping value, lower ≤ 0 ≤ upper.

    Args:
        histogram: of the tensor's values.
        method: see RangeMethod.
        levels: how many integers there are: 256 for 8 bits.
        symmetric: whether the range is to be [-t, t], with zero point 0.

    """
    if method is not RangeMethod.MINMAX:
        raise NotImplementedError
    lower, upper = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    return (-max(-lower, upper), max(-lower, upper)) if symmetric else (lower, upper)
