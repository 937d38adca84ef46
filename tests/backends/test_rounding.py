"""Weights rounded to bfloat16: each to one of its two neighbours, and the errors of a channel cancel."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from graphopt.backends.tvm.lower.rounding import round_weights
from graphopt.tensors import Array

SHAPES = [(1, 1), (4, 7), (64, 32, 1, 1), (8, 3, 3, 3), (1000, 1280)]


def nearest(weights: Array) -> Array:
    return weights.astype(ml_dtypes.bfloat16).astype(np.float32)


def total_error(rounded: Array, weights: Array) -> Array:
    return np.abs((rounded.astype(np.float64) - weights).reshape(len(weights), -1).sum(1))


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=4, max_side=9), elements=st.floats(-4, 4, width=32)))
def test_each_weight_becomes_a_neighbour_of_it(weights: Array) -> None:
    rounded = round_weights(weights)
    np.testing.assert_array_equal(rounded, nearest(rounded))
    between = np.sign(rounded - weights) * np.sign(nearest(weights) - weights) <= 0
    assert np.all((rounded == nearest(weights)) | between), "further than the next number"
    assert np.all(total_error(rounded, weights) <= total_error(nearest(weights), weights) * (1 + 1e-6))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_sums_of_activations_of_one_sign_err_less(shape: tuple[int, ...], seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = random.standard_normal(shape).astype(np.float32)
    data = np.abs(random.standard_normal((64, *shape[1:]))).reshape(64, -1)

    def error(rounded: Array) -> float:
        difference = rounded.astype(np.float64) - weights
        return float(np.sqrt(np.mean(np.square(data @ difference.reshape(len(weights), -1).T))))

    assert error(round_weights(weights)) < error(nearest(weights))


def test_what_is_exact_stays() -> None:
    weights = np.array([[1.0, -0.5, 0.0, 384.0], [np.inf, -np.inf, np.nan, 1.0]], np.float32)
    np.testing.assert_array_equal(round_weights(weights), weights)


def test_no_weights_are_none() -> None:
    assert round_weights(np.zeros((3, 0), np.float32)).shape == (3, 0)
