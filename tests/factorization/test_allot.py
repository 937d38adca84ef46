"""The choice of options is the best that there is, whatever the options."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.factorization.allot import Choice, allot

choices = st.lists(
    st.lists(st.builds(Choice, st.integers(0, 40), st.integers(0, 30).map(float)), max_size=4), min_size=1, max_size=4
)


@settings(max_examples=200, deadline=None)
@given(choices, st.integers(1, 100))
def test_it_is_the_best_of_all_combinations(classes: list[list[Choice]], needed: int) -> None:
    found = allot({str(index): options for index, options in enumerate(classes)}, needed)
    best = min(
        (
            sum(choice.error for choice in taken)
            for taken in itertools.product(*([Choice(0, 0.0), *options] for options in classes))
            if sum(choice.saved for choice in taken) >= needed
        ),
        default=None,
    )
    if found is None:
        assert best is None
        return
    taken = [classes[int(name)][option] for name, option in found.items()]
    assert sum(choice.saved for choice in taken) >= needed
    assert sum(choice.error for choice in taken) == best


def test_large_savings_are_rounded_down_and_still_suffice() -> None:
    classes = {str(index): [Choice(10**9 + index, 1.0), Choice(3 * 10**9, 5.0)] for index in range(9)}
    found = allot(classes, 12 * 10**9)
    assert found is not None
    assert sum(classes[name][option].saved for name, option in found.items()) >= 12 * 10**9
