"""Optimal brain compression takes the steps that trying every weight takes, and ends in the least squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.quantization.rounding import quadratic_error
from graphopt.quantization.rows import Float64
from graphopt.sparsity.blocks import thin_in_blocks
from graphopt.sparsity.elimination import eliminate
from graphopt.sparsity.pattern import Mask, Pattern, keep_in_groups
from graphopt.sparsity.refit import descend, refit
from graphopt.sparsity.thinning import by_elimination, by_magnitude


def moments(rng: np.random.Generator, columns: int, groups: int = 1) -> Float64:
    mixed = rng.standard_normal((groups, columns, columns)) @ rng.standard_normal((groups, columns, 3 * columns))
    return mixed @ mixed.transpose(0, 2, 1) / (3 * columns)


def least_error(row: Float64, kept: list[int], moment: Float64) -> float:
    """Return the error of the best row that is zero outside of some columns."""
    best = np.zeros_like(row)
    if kept:
        best[kept] = np.linalg.solve(moment[np.ix_(kept, kept)], moment[kept] @ row)
    return float((row - best) @ moment @ (row - best))


@pytest.mark.parametrize("columns", [1, 2, 7, 40, 70])
def test_each_step_is_the_cheapest_of_all(columns: int) -> None:
    rng = np.random.default_rng(columns)
    rows, moment = rng.standard_normal((1, 2, columns)), moments(rng, columns)
    found = eliminate(rows, moment)
    for row, order, cost in zip(rows[0], found.order[0], found.cost[0], strict=True):
        left, before = list(range(columns)), 0.0
        for column, price in zip(order, cost, strict=True):
            errors = {each: least_error(row, [one for one in left if one != each], moment[0]) for each in left}
            assert errors[column] == pytest.approx(min(errors.values()), rel=1e-6, abs=1e-9)
            assert errors[column] - before == pytest.approx(price, rel=1e-5, abs=1e-7 * max(errors.values()))
            before = errors[column]
            left.remove(column)


def test_weights_of_all_rows_go_in_the_order_of_their_cost() -> None:
    rng = np.random.default_rng(1)
    rows, moment = rng.standard_normal((2, 3, 8)), moments(rng, 8, groups=2)
    found = eliminate(rows, moment)
    previous = np.ones(rows.shape, bool)
    for zeros in range(rows.size + 1):
        mask = found.mask(zeros)
        assert (~mask).sum() == zeros
        assert (mask <= previous).all()
        for group, row in np.ndindex(2, 3):  # what went of a row went first
            count = (~mask[group, row]).sum()
            assert set(np.flatnonzero(~mask[group, row])) == set(found.order[group, row, :count])
        previous = mask


@settings(deadline=None, max_examples=25)
@given(columns=st.integers(1, 13), taps=st.integers(1, 3), kept=st.integers(1, 3), more=st.integers(1, 3))
def test_a_pattern_holds_in_every_group(columns: int, taps: int, kept: int, more: int) -> None:
    pattern = Pattern(kept, kept + more)
    rng = np.random.default_rng(0)
    rows, moment = rng.standard_normal((2, 3, columns * taps)), moments(rng, columns * taps, groups=2)
    groups = pattern.groups(columns * taps, taps)
    for thinned in (
        by_elimination(rows, moment, pattern, taps)(0),
        by_magnitude(rows, pattern, taps)(0),
        thin_in_blocks(rows, moment, 0, pattern, taps),
    ):
        for group in np.unique(groups):
            size = (groups == group).sum()
            assert size <= pattern.size
            assert ((thinned[..., groups == group] != 0).sum(-1) == min(size, kept)).all()


def test_a_group_is_of_channels_for_one_tap() -> None:
    channel, tap = np.divmod(np.arange(6 * 3), 3)
    groups = Pattern(2, 4).groups(18, 3)
    for group in np.unique(groups):
        members = groups == group
        assert np.unique(tap[members]).size == 1
        assert np.ptp(channel[members]) == members.sum() - 1
        assert channel[members].min() % 4 == 0


def random_mask(rng: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    return rng.random(shape) < 0.5


def test_refitting_is_the_least_squares_and_descent_tends_to_it() -> None:
    rng = np.random.default_rng(2)
    rows, moment = rng.standard_normal((2, 5, 30)), moments(rng, 30, groups=2) + 0.1 * np.eye(30)
    mask = random_mask(rng, rows.shape)
    fitted = refit(rows, mask, moment)
    assert (fitted[~mask] == 0).all()
    error = quadratic_error(rows - fitted, moment)
    for group, row in np.ndindex(2, 5):
        assert error[group, row] == pytest.approx(
            least_error(rows[group, row], list(np.flatnonzero(mask[group, row])), moment[group])
        )
    start = np.where(mask, rows, 0)
    descended = descend(start, rows, mask, moment)
    assert (descended[~mask] == 0).all()
    assert quadratic_error(rows - descended, moment) == pytest.approx(error, rel=1e-3)
    assert (quadratic_error(rows - descended, moment) <= quadratic_error(rows - start, moment)).all()


@pytest.mark.parametrize("pattern", [None, Pattern(2, 4)])
def test_elimination_is_better_than_blocks_and_both_than_magnitude(pattern: Pattern | None) -> None:
    rng = np.random.default_rng(3)
    rows, moment = rng.standard_normal((1, 8, 300)), moments(rng, 300) + 0.01 * np.eye(300)
    exact = by_elimination(rows, moment, pattern)(rows.size // 2)
    blocks = thin_in_blocks(rows, moment, rows.size // 2, pattern)
    smallest = by_magnitude(rows, pattern)(rows.size // 2)
    assert [(each == 0).mean() for each in (exact, blocks, smallest)] == [0.5] * 3
    errors = [quadratic_error(rows - each, moment).sum() for each in (exact, blocks, smallest)]
    assert errors[0] < 0.5 * errors[1]
    assert errors[1] < 0.9 * errors[2]


def test_wide_layers_go_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows, moment = rng.standard_normal((1, 4, 200)), moments(rng, 200)
    exact = by_elimination(rows, moment)(400)
    monkeypatch.setattr("graphopt.sparsity.thinning.LARGEST_SWEEP", 0)
    blocks = by_elimination(rows, moment)(400)
    assert (blocks == 0).sum() == 400
    assert not np.array_equal(blocks, exact)


def test_diagonal_moments_weigh_the_squares() -> None:
    rows = np.array([[[3.0, 2.0, 1.0, 0.5]]])
    thin = by_elimination(rows, np.array([[0.1, 1.0, 1.0, 100.0]]))
    assert thin(2).tolist() == [[[0.0, 2.0, 0.0, 0.5]]]


def test_zeros_go_first_and_ties_by_their_place() -> None:
    rows = np.array([[[2.0, 0.0, -1.0, 1.0, 0.0]]])
    assert by_magnitude(rows)(2).tolist() == rows.tolist()
    assert by_magnitude(rows)(3).tolist() == [[[2.0, 0.0, 0.0, 1.0, 0.0]]]
    assert keep_in_groups(np.array([1.0, 1.0, 1.0]), np.zeros(3, np.int64), 2).tolist() == [True, True, False]
