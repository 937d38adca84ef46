"""Histograms: merging parts is counting the whole, whatever the parts and their order."""

from __future__ import annotations

import math
from functools import reduce

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from graphopt.calibration.histogram import BINS, Histogram

SCALES = st.sampled_from([1e-30, 1e-3, 1.0, 700.0, 1e30])
SINGLES = arrays.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1, 1, width=32))
PARTS = st.lists(st.tuples(SINGLES, SCALES).map(lambda part: part[0] * np.float32(part[1])), min_size=1, max_size=5)


def histogram(*parts: npt.NDArray[np.generic]) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


@settings(deadline=None)
@given(PARTS, st.randoms())
def test_merging_parts_is_counting_the_whole(parts: list[npt.NDArray[np.float32]], random: object) -> None:
    whole = histogram(np.concatenate(parts))
    assert histogram(*parts) == whole
    assert reduce(Histogram.merge, map(histogram, parts)) == whole
    shuffled = sorted(parts, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert reduce(lambda merged, part: histogram(part).merge(merged), shuffled, Histogram()) == whole


@settings(deadline=None)
@given(SINGLES, SCALES)
def test_each_value_is_counted_once_in_the_bin_that_holds_it(values: npt.NDArray[np.float32], scale: float) -> None:
    scaled = values * np.float32(scale)
    found = histogram(scaled)
    assert found.count == scaled.size
    assert found.zeros == np.count_nonzero(scaled == 0)
    expected, _ = np.histogram(scaled.astype(np.float64), bins=found.edges)
    assert found.counts.tolist() == expected.tolist()
    if scaled.size:
        assert (found.minimum, found.maximum) == (scaled.min(), scaled.max())


@settings(deadline=None)
@given(SINGLES)
def test_half_of_the_bins_on_the_larger_side_are_in_use_at_least(values: npt.NDArray[np.float32]) -> None:
    found = histogram(values)
    peak = max(np.abs(values), default=0)
    if peak > 0:
        assert 2 * peak >= found.edges[-1]
        assert peak <= found.edges[-1]


def test_zero_is_an_edge() -> None:
    assert histogram(np.array([-3.5, 9.0])).edges[BINS] == 0


def test_memory_does_not_grow() -> None:
    small, large = histogram(np.ones(1, np.float32)), histogram(np.geomspace(1e-20, 1e20, 100_000))
    assert small.counts.nbytes == large.counts.nbytes


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_every_floating_point_type_is_counted(dtype: npt.DTypeLike) -> None:
    values = np.array([[-1.5, 0.0], [0.25, 3.0]]).astype(dtype)
    assert histogram(values) == histogram(values.astype(np.float64))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_whole(bad: float) -> None:
    found = histogram(np.ones(3))
    with pytest.raises(ValueError, match="not finite"):
        found.add(np.array([1.0, bad, 2.0]))
    assert found == histogram(np.ones(3))


def test_nothing_and_zeros_are_values_like_others() -> None:
    empty, zeros = histogram(np.zeros((0, 3))), histogram(np.zeros(5, np.float32))
    assert (empty.count, zeros.count, zeros.zeros) == (0, 5, 5)
    assert empty.merge(zeros) == zeros
    assert zeros.merge(histogram(np.full(2, 6.0))) == histogram(np.array([0, 0, 0, 0, 0, 6.0, 6.0]))


def test_different_histograms_are_not_equal() -> None:
    assert histogram(np.array([1.0, 2.0])) != histogram(np.array([1.0, 1.5, 2.0]))
    assert histogram(np.array([1e-9, 2.0])) != histogram(np.array([0.0, 2.0]))
