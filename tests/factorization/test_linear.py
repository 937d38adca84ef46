"""The closed forms are the best that there are: by singular values, by perturbation, by what data weigh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.factorization.cp import decompose
from graphopt.factorization.linear import best_inputs, best_outputs, regress, root_of, weigh

sizes = st.integers(2, 6)


def energy(rows: np.ndarray, moment: np.ndarray) -> float:
    return float((weigh(rows, moment) * rows).sum())


def problem(outputs: int, columns: int, seed: int, groups: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and a moment of correlated columns, group by group."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((groups, columns, columns)) * np.geomspace(1, 0.1, columns)
    return rng.standard_normal((groups, outputs, columns)), mixed @ mixed.transpose(0, 2, 1) + 1e-3 * np.eye(columns)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, st.integers(0, 99), st.data())
def test_what_is_lost_are_the_smaller_singular_values(
    outputs: int, columns: int, seed: int, data: st.DataObject
) -> None:
    """Eckart and Young, and with data the same of what the rows make."""
    rows, moment = problem(outputs, columns, seed)
    rank = data.draw(st.integers(1, min(outputs, columns)))
    for weight in (np.ones((2, columns)), moment):
        made = rows @ root_of(weight)
        tail = np.square(np.linalg.svd(made, compute_uv=False)[:, rank:]).sum()
        left = best_outputs(rows, weight, rank)
        assert energy(rows - left @ left.transpose(0, 2, 1) @ rows, weight) == pytest.approx(tail, abs=1e-9)
        features = best_inputs(rows, weight, rank)
        assert energy(rows - regress(rows, features, weight) @ features, weight) == pytest.approx(tail, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(sizes, sizes, st.integers(0, 99))
def test_regression_cannot_be_bettered(outputs: int, columns: int, seed: int) -> None:
    rows, moment = problem(outputs, columns, seed)
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((2, max(columns - 1, 1), columns))
    found = regress(rows, features, moment)
    least = energy(rows - found @ features, moment)
    for _ in range(5):
        moved = found + 1e-3 * rng.standard_normal(found.shape)
        assert energy(rows - moved @ features, moment) >= least


def test_features_of_the_inputs_are_orthonormal() -> None:
    rows, moment = problem(8, 5, 0)
    features = best_inputs(rows, moment, 3)
    assert np.allclose(features @ features.transpose(0, 2, 1), np.eye(3))


def test_a_sum_of_products_is_found_again() -> None:
    rng = np.random.default_rng(3)
    factors = [rng.standard_normal((size, 3)) for size in (6, 5, 3, 3)]
    tensor = np.einsum("ar,br,cr,dr->abcd", *factors)
    found = decompose(tensor, 3)
    error = np.linalg.norm(np.einsum("ar,br,cr,dr->abcd", *found) - tensor) / np.linalg.norm(tensor)
    assert error < 0.02
    assert all(np.allclose(np.linalg.norm(factor, axis=0), 1) for factor in found[1:])


def test_more_products_err_less() -> None:
    tensor = np.random.default_rng(0).standard_normal((6, 5, 3, 3))
    errors = [
        np.linalg.norm(np.einsum("ar,br,cr,dr->abcd", *decompose(tensor, rank)) - tensor) for rank in (1, 4, 12, 40)
    ]
    assert errors == sorted(errors, reverse=True)
