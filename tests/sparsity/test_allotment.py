"""Weights leave where the answers miss them least."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphopt.sparsity.allotment import STAYING, Level, allot, levels, staying
from graphopt.sparsity.counts import below_threshold, in_each, over_all


def error_of(curve: list[Level], zeros: int) -> float:
    """Return the error on the straight lines between levels."""
    return float(np.interp(zeros, [0, *(level.zeros for level in curve)], [0.0, *(level.error for level in curve)]))


@given(seed=st.integers(0, 999), zeros=st.integers(0, 40))
def test_convex_curves_are_shared_out_best(seed: int, zeros: int) -> None:
    rng = np.random.default_rng(seed)
    curves = {
        name: [Level(5 * step, error) for step, error in enumerate(np.cumsum(np.cumsum(rng.random(3))), start=1)]
        for name in "ab"
    }
    found = allot(curves, zeros)
    assert sum(found.values()) == min(zeros, 30)
    error = sum(error_of(curve, found[name]) for name, curve in curves.items())
    every = (counts for counts in itertools.product(range(16), repeat=2) if sum(counts) == min(zeros, 30))
    best = min(error_of(curves["a"], first) + error_of(curves["b"], second) for first, second in every)
    assert error <= best + 1e-9


def test_a_level_above_the_line_of_its_neighbours_is_passed_by() -> None:
    curves = {"a": [Level(10, 1.0), Level(20, 1.1)], "b": [Level(10, 0.9)]}
    assert allot(curves, 20) == {"a": 20, "b": 0}


def test_levels_are_counts_around_the_fraction() -> None:
    assert levels(1000, 0.5) == [250, 400, 500, 700, 850]
    assert levels(1, 0.1) == [1]
    assert max(levels(1000, 0.95)) < 1000


def test_few_dear_weights_stay() -> None:
    sizes = {"first": 8, "middle": 900, "dear": 100, "last": 8, "cheap": 2}
    errors = {"first": 1.0, "middle": 1.0, "dear": 9.0, "last": 0.5, "cheap": 0.001}
    assert STAYING * 1018 > 18
    assert staying(errors, sizes) == {"first", "last"}
    assert staying({"only": 1.0}, {"only": 10}) == set()


def test_counts_without_data() -> None:
    arrays = {"a": np.array([0.1, -0.2, 3.0, 4.0], np.float32), "b": np.array([[1.0, -0.3]])}
    assert in_each(arrays, 0.5) == {"a": 2, "b": 1}
    assert over_all(arrays, 0.5) == {"a": 2, "b": 1}
    assert over_all(arrays, 2 / 3) == {"a": 2, "b": 2}
    assert below_threshold(arrays, 0.3) == {"a": 2, "b": 1}
    assert below_threshold(arrays, 0.0) == {"a": 0, "b": 0}
