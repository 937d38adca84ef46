"""Whether to multiply is the same as to divide, for every float32 that matters."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.reciprocal import next_with_reciprocal, reciprocal

SCALES = st.floats(2.0**-60, 2.0**60, width=32)


@settings(deadline=None)  # a scale may be a thousand tries away
@given(SCALES, st.integers(0, 2**31 - 1))
def test_a_product_rounds_as_the_quotient_does_wherever_there_is_a_reciprocal(scale: float, seed: int) -> None:
    divisor = np.float32(next_with_reciprocal(scale, 255))
    factor = reciprocal(float(divisor), 255)
    assert factor is not None
    rng = np.random.default_rng(seed)
    ties = (rng.integers(-256, 256, 500) + 0.5) * np.float64(divisor)
    near = (ties * (1 + rng.integers(-8, 9, 500) * 2.0**-24)).astype(np.float32)
    numbers = np.concatenate([near, rng.uniform(-255, 255, 500).astype(np.float32) * divisor])
    assert np.array_equal(np.rint(numbers * np.float32(factor)), np.rint(numbers / divisor))


@settings(deadline=None)
@given(SCALES)
def test_the_next_scale_is_a_thousandth_away_at_most(scale: float) -> None:
    assert scale <= next_with_reciprocal(scale, 255) <= scale * 1.001


def test_most_scales_have_none() -> None:
    scales = np.random.default_rng(0).uniform(0.01, 1, 100).astype(np.float32)
    assert sum(reciprocal(float(scale), 255) is not None for scale in scales) < 10


def test_powers_of_two_have_their_inverse() -> None:
    assert reciprocal(0.25, 255) == 4.0
    assert next_with_reciprocal(0.25, 255) == 0.25
