from __future__ import annotations

import numpy as np
import pytest

from graphopt.numerics import difference, differences
from graphopt.tensors import Array, TensorSpec


@pytest.mark.parametrize(
    ("reference", "actual", "error"),
    [
        (np.float32([1, 2]), np.float32([1, 2]), 0.0),
        (np.float32([10, 0]), np.float32([10, 1]), 0.1),
        (np.float32([np.nan, np.inf, 4]), np.float32([np.nan, np.inf, 4]), 0.0),
        (np.float32([np.nan, 4]), np.float32([4, np.nan]), np.inf),
        (np.float32([np.inf]), np.float32([-np.inf]), np.inf),
        (np.float32([0, 0]), np.float32([0, 1e-9]), np.inf),
        (np.float32([]), np.float32([]), 0.0),
        (np.int64([2**60]), np.int64([2**60 + 1]), np.inf),
        (np.array([True]), np.array([False]), np.inf),
        (np.array(["a"], object), np.array(["a"], object), 0.0),
        (np.float32([1]), np.float64([1]), np.inf),
        (np.float32([1]), np.float32([[1]]), np.inf),
        (np.complex64([1 + 2j]), np.complex64([1 + 2j]), 0.0),
    ],
)
def test_the_error_is_relative_to_the_scale_of_the_reference(reference: Array, actual: Array, error: float) -> None:
    assert difference("y", reference, actual).error == pytest.approx(error)


def test_the_worst_output_comes_first() -> None:
    reference = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    found = differences(reference, {"a": np.ones(2, np.float32), "b": np.full(2, 3, np.float32)})
    assert [one.output for one in found] == ["b", "a"]
    assert str(found[0]) == "output 'b' differs by up to 2 where its scale is 1"


def test_other_names_are_a_difference() -> None:
    (found,) = differences({"a": np.ones(1)}, {"b": np.ones(1)})
    assert found.error == np.inf
    assert "a became b" in str(found)


def test_a_spec_prints_its_dimensions() -> None:
    assert str(TensorSpec("x", "float32", ("N", 3, None))) == "x: float32[N, 3, ?]"
    assert str(TensorSpec("x", "float32", None)) == "x: float32[…]"
    assert TensorSpec("x", "float32", (1, 2)).is_static
    assert not TensorSpec("x", "float32", ("N",)).is_static
