"""Few values: the best there are on a line, and no worse where a Gram matrix says what counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.ir.text.parser import parse_model
from graphopt.quantization.rounding import quadratic_error
from graphopt.quantization.rows import Float64
from graphopt.quantization.weights import weights_of
from graphopt.sharing import codebook, kmeans
from graphopt.sharing.codebook import is_shared, share_rows
from graphopt.sharing.indices import shared_indices
from graphopt.sharing.kmeans import best_values


def cost(points: Float64, weights: Float64, values: Float64) -> float:
    return float((weights * np.square(points[:, None] - values).min(axis=1)).sum())


def least_cost(points: Float64, weights: Float64, count: int) -> float:
    """Try every way to cut sorted points into intervals."""
    order = np.argsort(points)
    points, weights = points[order], weights[order]
    best = np.inf
    for cuts in itertools.combinations(range(1, len(points)), min(count, len(points)) - 1):
        parts = list(itertools.pairwise([0, *cuts, len(points)]))
        means = np.array([np.average(points[a:b], weights=weights[a:b]) for a, b in parts])
        found = [cost(points[a:b], weights[a:b], mean[None]) for (a, b), mean in zip(parts, means, strict=True)]
        best = min(best, sum(found))
    return best


@settings(deadline=None, max_examples=150)
@given(
    points=st.lists(st.integers(-40, 40), min_size=1, max_size=9),
    count=st.integers(1, 5),
    scale=st.sampled_from([1.0, 1e-6, 1e6]),
    seed=st.integers(0, 99),
)
def test_no_other_values_are_better(points: list[int], count: int, scale: float, seed: int) -> None:
    places = np.array(points, np.float64) * scale
    weights = np.random.default_rng(seed).uniform(0.1, 2, len(points))
    values = best_values(places, weights, count)
    assert len(values) <= count
    assert (np.diff(values) > 0).all()
    least = least_cost(places, weights, count)
    assert cost(places, weights, values) == pytest.approx(least, rel=1e-6, abs=1e-9 * scale**2)


def test_points_without_weight_do_not_count_unless_all_are() -> None:
    points = np.array([0.0, 1.0, 100.0])
    assert best_values(points, np.array([1.0, 1.0, 0.0]), 1).tolist() == [0.5]
    assert best_values(points, np.zeros(3), 3).tolist() == points.tolist()


def test_very_many_points_are_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).standard_normal(20_000)
    weights = np.ones_like(points)
    monkeypatch.setattr(kmeans, "LARGEST", 20_000)
    exact = cost(points, weights, best_values(points, weights, 8))
    monkeypatch.setattr(kmeans, "LARGEST", 2_000)
    assert cost(points, weights, best_values(points, weights, 8)) < 1.001 * exact


def correlated(rng: np.random.Generator, columns: int) -> Float64:
    mixed = rng.standard_normal((columns, columns)) @ rng.standard_normal((columns, 300))
    return (mixed @ mixed.T / 300)[None]


@pytest.mark.parametrize("by_row", [False, True])
def test_a_gram_matrix_finds_better_ones(by_row: bool) -> None:
    rng = np.random.default_rng(1)
    rows, moment = rng.standard_normal((1, 12, 40)), correlated(rng, 40)
    diagonal = np.diagonal(moment, axis1=1, axis2=2)
    errors = []
    for known in (None, diagonal, moment):
        shared = share_rows(rows, 4, known, by_row=by_row)
        assert is_shared(shared, 4, by_row=by_row)
        errors.append(quadratic_error(rows - shared, moment).sum())
    assert errors[2] < 0.7 * min(errors[:2])


def test_rows_of_their_own_values_are_better() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((2, 5, 30)) * rng.uniform(0.1, 10, (2, 5, 1))
    errors = [np.square(rows - share_rows(rows, 4, by_row=by_row)).sum() for by_row in (False, True)]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("by_row", [False, True])
def test_zeros_of_a_sparse_weight_stay(by_row: bool) -> None:
    rng = np.random.default_rng(3)
    rows = np.where(rng.random((1, 6, 30)) < 0.5, 0.0, rng.standard_normal((1, 6, 30)))
    rows[0, 0] = 0.0
    shared = share_rows(rows, 4, correlated(rng, 30), by_row=by_row)
    assert ((shared == 0) == (rows == 0)).all()
    assert is_shared(shared, 4, by_row=by_row)


def test_large_books_are_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows, moment = rng.standard_normal((1, 4, 20)), correlated(rng, 20)
    monkeypatch.setattr(codebook, "LARGEST_FIT", 0)
    diagonal = np.diagonal(moment, axis1=1, axis2=2)
    assert np.array_equal(share_rows(rows, 4, moment), share_rows(rows, 4, diagonal))


def test_indices_are_equal_where_values_are() -> None:
    model = parse_model("g (float[N,2] x) => (float[N,3] y) <float[2,3] w = {1, 2, 1, 1, 1, 3}> { y = MatMul (x, w) }")
    (weight,) = weights_of(model)
    together, apart = (shared_indices(weight, by_row=by_row) for by_row in (False, True))
    assert together.tolist() == [[0, 1, 0], [0, 0, 2]]
    assert [len(np.unique(part)) for part in apart.T] == [1, 2, 2]
    assert len(np.unique(apart)) == 5
