"""What is taken between measured amounts costs a power of the amount."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphopt.growth import grown


@given(power=st.floats(0, 6), scale=st.floats(1e-6, 1e3), taken=st.floats(0.1, 200))
def test_a_power_is_found_again_between_and_beyond(power: float, scale: float, taken: float) -> None:
    amounts = (2.0, 5.0, 60.0)
    errors = [scale * amount**power for amount in amounts]
    assert grown(taken, amounts, errors) == pytest.approx(scale * taken**power, rel=1e-6)


def test_an_amount_that_costs_nothing_is_where_a_straight_line_starts() -> None:
    assert [grown(taken, (4, 8), (0.0, 1.0)) for taken in (2, 4, 6, 8, 12)] == [0, 0, 0.5, 1, 2]
    assert [grown(taken, (4,), (1.0,)) for taken in (0, 2, 8)] == [0, 0.5, 2]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_more_never_costs_less(errors: list[float]) -> None:
    amounts = [3 * 2**index for index in range(len(errors))]
    found = [grown(taken, amounts, sorted(errors)) for taken in np.linspace(0.5, amounts[-1], 60)]
    assert (np.diff(found) >= -1e-12).all()
