"""Refitting a weight: exactly least squares where data say all, the weight that there is where they say nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from graphopt.calibration import gram as gram_module
from graphopt.pruning.recovery import equations as equations_module
from graphopt.pruning.recovery.equations import Equations, multiply_with, total
from graphopt.pruning.recovery.least_squares import UNJUDGED, Fit, best_ridge, error, fit, variance

RNG = np.random.default_rng(2)
GROUPS, ROWS, SIZE, COUNT = 2, 3, 5, 400
Float32 = npt.NDArray[np.float32]


def data(count: int = COUNT, noise: float = 0.1) -> tuple[Float32, Float32]:
    columns = (RNG.standard_normal((GROUPS, SIZE, count)) + 1).astype(np.float32)
    weight = np.random.default_rng(0).standard_normal((GROUPS, ROWS, SIZE))
    targets = weight @ columns + 2 + noise * RNG.standard_normal((GROUPS, ROWS, count))
    return columns, targets.astype(np.float32)


def equations(columns: Float32, targets: Float32) -> Equations:
    found = Equations(GROUPS, columns.shape[1], targets.shape[1])
    found.add(columns, targets, multiply_with(1))
    return found


def start() -> Fit:
    return Fit(np.zeros((GROUPS, ROWS, SIZE)), np.zeros((GROUPS, ROWS)))


@pytest.mark.parametrize("moves_bias", [True, False])
def test_without_a_ridge_it_is_the_least_squares_solution(moves_bias: bool) -> None:
    columns, targets = data()
    found = fit(equations(columns, targets), start(), 0.0, moves_bias=moves_bias)
    for group in range(GROUPS):
        ones = np.ones((COUNT, 1)) if moves_bias else np.zeros((COUNT, 0))
        design = np.concatenate([columns[group].T.astype(np.float64), ones], axis=1)
        solution, *_ = np.linalg.lstsq(design, targets[group].T.astype(np.float64), rcond=None)
        np.testing.assert_allclose(found.weight[group], solution[:SIZE].T, atol=1e-5)
        np.testing.assert_allclose(found.bias[group], solution[SIZE] if moves_bias else 0, atol=1e-5)


def test_the_error_is_that_of_the_data() -> None:
    columns, targets = data()
    found = fit(equations(columns, targets), start(), 0.1, moves_bias=True)
    missed = targets - found.weight @ columns - found.bias[:, :, None]
    np.testing.assert_allclose(error(equations(columns, targets), found), np.square(missed).mean(2).sum(), rtol=1e-4)
    np.testing.assert_allclose(variance(equations(columns, targets)), targets.var(axis=2).sum(), rtol=1e-4)


def test_parts_add_up_to_the_whole() -> None:
    columns, targets = data()
    parts = [equations(columns[:, :, part::3], targets[:, :, part::3]) for part in range(3)]
    whole, added = equations(columns, targets), total(parts)
    assert added.count == whole.count
    for name in ("x", "y", "xx", "yx", "yy"):
        np.testing.assert_allclose(getattr(added, name), getattr(whole, name), rtol=1e-5, atol=1e-3)


def test_a_large_ridge_leaves_the_weight_and_moves_the_bias() -> None:
    columns, targets = data()
    weight = RNG.standard_normal((GROUPS, ROWS, SIZE))
    near = fit(equations(columns, targets), Fit(weight, np.zeros((GROUPS, ROWS))), 1e9, moves_bias=True)
    there = fit(equations(columns, targets), Fit(weight, np.zeros((GROUPS, ROWS))), np.inf, moves_bias=True)
    np.testing.assert_allclose(near.weight, weight, atol=1e-6)
    np.testing.assert_array_equal(there.weight, weight)
    np.testing.assert_allclose(there.bias, targets.mean(2) - (weight @ columns).mean(2), atol=1e-5)


def test_where_only_means_are_known_the_bias_moves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equations_module, "LARGEST_SIDE", SIZE - 1)
    assert gram_module.LARGEST_SIDE > SIZE
    columns, targets = data()
    parts = [equations(columns, targets), equations(columns, targets)]
    assert best_ridge(parts, start(), moves_bias=True) == np.inf
    found = fit(total(parts), start(), 0.1, moves_bias=True)
    np.testing.assert_array_equal(found.weight, 0)
    np.testing.assert_allclose(found.bias, targets.mean(2), rtol=1e-5)


def test_zeros_stay_and_the_others_are_the_best() -> None:
    columns, targets = data()
    support = RNG.random((GROUPS, ROWS, SIZE)) < 0.6
    found = fit(equations(columns, targets), start(), 0.0, moves_bias=True, support=support)
    assert (found.weight[~support] == 0).all()
    for group in range(GROUPS):
        for row in range(ROWS):
            own = support[group, row]
            design = np.concatenate([columns[group][own].T.astype(np.float64), np.ones((COUNT, 1))], axis=1)
            solution, *_ = np.linalg.lstsq(design, targets[group, row].astype(np.float64), rcond=None)
            np.testing.assert_allclose(found.weight[group, row, own], solution[:-1], atol=1e-4)


def test_few_samples_ask_for_a_larger_ridge_than_many() -> None:
    weight = np.random.default_rng(0).standard_normal((GROUPS, ROWS, SIZE))
    near = Fit(weight + 0.05, np.zeros((GROUPS, ROWS)))
    few = [equations(*data(4, noise=3.0)) for _ in range(3)]
    many = [equations(*data(4000, noise=0.01)) for _ in range(3)]
    assert best_ridge(few, near, moves_bias=True) > best_ridge(many, near, moves_bias=True)


def test_with_one_part_alone_nothing_can_be_judged() -> None:
    assert best_ridge([equations(*data())], start(), moves_bias=True) == UNJUDGED
