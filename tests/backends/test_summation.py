"""In how many parts a long sum is made."""

from __future__ import annotations

import pytest

from graphopt.backends.tvm.schedule.summation import parts_of_a_sum


@pytest.mark.parametrize(
    ("steps", "products", "parts"),
    [
        (16, 16, 1),  # short enough
        (32, 16, 2),
        (38, 16, 19),  # what divides 38 and is short
        (36, 16, 4),  # not 3, which LLVM unrolls
        (3, 144, 1),  # nor 3 where there is nothing between 1 and 3
        (4, 144, 4),
        (5, 4000, 5),  # one step alone is long
    ],
)
def test_parts_are_few_and_short(steps: int, products: int, parts: int) -> None:
    assert parts_of_a_sum(steps, products) == parts
