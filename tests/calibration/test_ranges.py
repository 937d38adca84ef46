"""Ranges: what each method trades, and that the error computed from a histogram is the one that quantization makes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from graphopt.calibration.distortion import Grid, Segments, expected_error
from graphopt.calibration.histogram import Histogram
from graphopt.calibration.ranges import RangeMethod, choose_range

RNG = np.random.default_rng(0)
SHAPES = {
    "normal": RNG.standard_normal(200_000),
    "long tails": RNG.standard_t(3, 200_000),
    "rectified": np.maximum(RNG.standard_normal(200_000), 0),
    "clipped at 6": np.clip(3 * RNG.standard_normal(200_000) + 2, 0, 6),
    "lopsided": np.where(RNG.random(200_000) < 0.9, RNG.exponential(1, 200_000), -0.1 * RNG.random(200_000)),
    "negative": -RNG.exponential(1, 200_000),
}
KINDS = [(256, False), (255, True), (16, False), (65536, False)]
ALL = list(RangeMethod)


def histogram(values: npt.ArrayLike) -> Histogram:
    made = Histogram()
    made.add(np.asarray(values, np.float32))
    return made


def actual_error(values: npt.ArrayLike, span: tuple[float, float], levels: int, symmetric: bool) -> float:
    """Quantize as QuantizeLinear does, and measure."""
    x = np.asarray(values, np.float32).astype(np.float64)
    lower, upper = span
    lowest = -((levels - 1) // 2) if symmetric else 0
    highest = (levels - 1) // 2 if symmetric else levels - 1
    scale = max(-lower, upper) / highest if symmetric else (upper - lower) / highest
    if not scale:
        return float(np.mean(np.square(x)))
    zero_point = 0 if symmetric else round(-lower / scale)
    integers = np.clip(np.round(x / scale) + zero_point, lowest, highest)
    return float(np.mean(np.square(x - (integers - zero_point) * scale)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("levels", "symmetric"), KINDS)
def test_the_expected_error_is_the_one_that_quantization_makes(shape: str, levels: int, symmetric: bool) -> None:
    found = histogram(SHAPES[shape])
    for method in ALL:
        span = choose_range(found, method, levels, symmetric)
        expected = expected_error(found, *span, levels, symmetric)
        assert expected == pytest.approx(actual_error(SHAPES[shape], span, levels, symmetric), rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("levels", "symmetric"), KINDS)
def test_auto_errs_least(shape: str, levels: int, symmetric: bool) -> None:
    found = histogram(SHAPES[shape])
    errors = {
        method: expected_error(found, *choose_range(found, method, levels, symmetric), levels, symmetric)
        for method in ALL
    }
    assert errors[RangeMethod.AUTO] == min(errors.values())


@pytest.mark.parametrize("method", [RangeMethod.ENTROPY, RangeMethod.PERCENTILE])
def test_an_outlier_does_not_stretch_the_range(method: RangeMethod) -> None:
    found = histogram(np.append(RNG.standard_normal(100_000), 60.0))
    lower, upper = choose_range(found, method, 256, symmetric=False)
    assert -6 < lower < -2
    assert 2 < upper < 6


SPARSE = {
    "a spike and a few far away": np.concatenate([np.full(900, 0.1), np.full(5, 6.0), RNG.uniform(0, 0.2, 50)]),
    "nearly all zeros": np.where(RNG.random(5000) < 0.98, 0, np.abs(RNG.standard_t(2, 5000))),
    "a few long tails": RNG.standard_t(2, 1000),
    "two heaps": np.concatenate([RNG.normal(0, 0.01, 900), RNG.uniform(2, 3, 100)]),
}
"""Values whose histogram is mostly gaps: the divergence of so few says nothing."""


@pytest.mark.parametrize("shape", SPARSE)
@pytest.mark.parametrize("copies", [1, 20])
@pytest.mark.parametrize(("levels", "symmetric"), KINDS)
def test_entropy_does_not_take_a_few_bins_for_all(shape: str, copies: int, levels: int, symmetric: bool) -> None:
    found = histogram(np.tile(SPARSE[shape], copies))
    lower, upper = choose_range(found, RangeMethod.ENTROPY, levels, symmetric)
    bin_width = 2.0**found.exponent
    assert (upper - lower) / (levels - 1) >= bin_width or upper - lower >= found.maximum - min(found.minimum, 0)
    if copies == 1 and levels > 16:
        whole = choose_range(found, RangeMethod.MINMAX, levels, symmetric)
        assert (lower, upper) == whole


def test_bins_are_taken_together_without_loss() -> None:
    segments = Segments.of(histogram(SHAPES["lopsided"]))
    parts = segments.together(8)
    assert parts.mass.sum() == segments.mass.sum()
    assert len(np.unique(np.floor(segments.left) // 8)) == len(parts.mass)
    assert (parts.left[0], parts.right[-1]) == (segments.left[0], segments.right[-1])
    assert np.all(parts.right - parts.left <= 8)
    assert np.all(parts.right[:-1] <= parts.left[1:])
    one = segments.together(1)
    np.testing.assert_array_equal(one.mass, segments.mass)


def test_the_least_error_clips_an_outlier_as_far_as_rounding_gains() -> None:
    values = np.append(RNG.standard_normal(1_000_000), 20.0)
    found = histogram(values)
    span = choose_range(found, RangeMethod.MSE, 256, symmetric=False)
    assert -6 < span[0] < -2
    assert 4 < span[1] < 19
    whole = choose_range(found, RangeMethod.MINMAX, 256, symmetric=False)
    assert actual_error(values, span, 256, symmetric=False) < 0.8 * actual_error(values, whole, 256, symmetric=False)


@pytest.mark.parametrize("shape", ["normal", "long tails", "rectified"])
@pytest.mark.parametrize("levels", [15, 255])
def test_hardly_any_range_errs_less_than_the_one_that_is_found(shape: str, levels: int) -> None:
    values = SHAPES[shape]
    span = choose_range(histogram(values), RangeMethod.MSE, levels, symmetric=True)
    others = np.geomspace(0.005, 1, 200) * np.abs(values).max()
    least = min(actual_error(values, (-end, end), levels, symmetric=True) for end in others)
    assert actual_error(values, span, levels, symmetric=True) <= 1.01 * least


def test_percentile_clips_the_share_that_it_says() -> None:
    values = (np.arange(1_000_000) + 0.5) / 1_000_000
    lower, upper = choose_range(histogram(values), RangeMethod.PERCENTILE, 256, symmetric=False)
    assert lower == 0
    assert np.mean(values > upper) == pytest.approx(1e-4, rel=0.1)
    lower, upper = choose_range(histogram(values - 0.5), RangeMethod.PERCENTILE, 256, symmetric=False)
    assert np.mean(values - 0.5 > upper) == pytest.approx(5e-5, rel=0.2)
    assert np.mean(values - 0.5 < lower) == pytest.approx(5e-5, rel=0.2)
    _, upper = choose_range(histogram(values - 0.3), RangeMethod.PERCENTILE, 255, symmetric=True)
    assert np.mean(np.abs(values - 0.3) > upper) == pytest.approx(1e-4, rel=0.2)


def test_percentile_leaves_something_of_what_is_nearly_all_zeros() -> None:
    values = np.zeros(1_000_000)
    values[:10] = 5.0
    assert choose_range(histogram(values), RangeMethod.PERCENTILE, 256, symmetric=False) == (0.0, 5.0)
    assert choose_range(histogram(values), RangeMethod.PERCENTILE, 255, symmetric=True) == (-5.0, 5.0)


def test_minmax_clips_nothing() -> None:
    found = histogram([-1.25, 0.5, 3.0])
    assert choose_range(found, RangeMethod.MINMAX, 256, symmetric=False) == (-1.25, 3.0)
    assert choose_range(found, RangeMethod.MINMAX, 255, symmetric=True) == (-3.0, 3.0)
    assert choose_range(histogram([2.0, 3.0]), RangeMethod.MINMAX, 256, symmetric=False) == (0.0, 3.0)
    assert choose_range(histogram([-2.0, -3.0]), RangeMethod.MINMAX, 256, symmetric=False) == (-3.0, 0.0)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("symmetric", [False, True])
def test_constants_are_represented_exactly(method: RangeMethod, symmetric: bool) -> None:
    for constant in (6.0, -0.1, 1e-30):
        span = choose_range(histogram([constant] * 10), method, 255, symmetric)
        assert actual_error([constant] * 10, span, 255, symmetric) <= (1e-6 * constant) ** 2
    assert choose_range(histogram([0.0] * 10), method, 255, symmetric) == (0.0, 0.0)
    assert choose_range(Histogram(), method, 255, symmetric) == (0.0, 0.0)


@settings(deadline=None, max_examples=60)
@given(
    arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1, 1, width=32)),
    st.sampled_from([1e-20, 1.0, 1e20]),
    st.sampled_from(ALL),
    st.sampled_from(KINDS),
)
def test_ranges_hold_zero_and_reach_no_farther_than_the_values(
    values: npt.NDArray[np.float32], scale: float, method: RangeMethod, kind: tuple[int, bool]
) -> None:
    levels, symmetric = kind
    scaled = values * np.float32(scale)
    lower, upper = choose_range(histogram(scaled), method, levels, symmetric)
    peak = float(np.abs(scaled).max())
    assert -peak <= lower <= 0 <= upper <= peak
    assert (lower, upper) != (0, 0) or peak == 0
    if symmetric:
        assert lower == -upper
    else:
        assert lower >= min(float(scaled.min()), 0)
        assert upper <= max(float(scaled.max()), 0)


def test_the_grid_holds_zero_and_as_many_values_as_levels() -> None:
    grid = Grid.spanning(-1.0, 2.3, 256, symmetric=False)
    assert round(grid.lowest / grid.step) * grid.step == grid.lowest
    assert (grid.highest - grid.lowest) / grid.step == pytest.approx(255)


def test_too_few_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        choose_range(histogram([1.0]), RangeMethod.MINMAX, 2, symmetric=True)
