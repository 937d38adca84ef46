"""Element types that numpy lacks, through onnxruntime and back."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.ort.values import FOREIGN, from_onnxruntime, to_onnxruntime
from graphopt.ir.text.parser import parse_model
from graphopt.numerics import difference, one_unit_away
from graphopt.pipeline.numeric_check import NumericCheck
from graphopt.tensors import Array

IDENTITIES = ("bfloat16", "float8e4m3fn", "float8e5m2")
"""What onnxruntime 1.31 has an Identity of."""


@given(st.sampled_from(sorted(FOREIGN)), st.lists(st.integers(0, 5), max_size=3), st.integers(0, 2**32))
def test_every_element_type_goes_there_and_back(name: str, shape: list[int], seed: int) -> None:
    element = FOREIGN[name]
    numbers = np.random.default_rng(seed).integers(0, 2**element.bits, math.prod(shape))
    array = numbers.astype(f"u{element.dtype.itemsize}").view(element.dtype).reshape(shape)
    back = from_onnxruntime(to_onnxruntime(array))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
def test_a_model_of_short_floats_is_checked_and_compiled(name: str, target: str) -> None:
    text = f"g ({name}[N,4] x) => ({name}[N,4] y) {{ a = Identity (x)  y = Identity (a) }}"
    model = parse_model(text, opset=25)
    graphopt.optimize(model, "O2", check=NumericCheck())
    program = graphopt.compile(model, target, cache=False)
    for batch in (1, 3):
        feeds = random_feeds(model, shapes={"x": [batch, 4]})
        expected, actual = evaluate(model, feeds)["y"], program(feeds)["y"]
        assert actual.dtype.name == program.outputs[0].dtype == FOREIGN[name].dtype.name
        assert difference("y", expected, actual).error == 0
        assert difference("y", feeds["x"], actual).error == 0


def test_elements_of_four_bits_are_packed_as_onnx_does() -> None:
    model = parse_model("g (int4[5] x) => (float[5] y) { y = Cast <to = 1> (x) }", opset=25)
    x = np.array([-8, -1, 0, 1, 7], ml_dtypes.int4)
    np.testing.assert_array_equal(evaluate(model, {"x": x})["y"], [-8, -1, 0, 1, 7])


@pytest.mark.parametrize(
    ("reference", "actual", "error"),
    [
        (np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 2.5], ml_dtypes.bfloat16), 0.25),
        (np.array([1, np.nan], ml_dtypes.float8_e5m2), np.array([1, np.nan], ml_dtypes.float8_e5m2), 0),
        (np.array([1, np.inf], ml_dtypes.bfloat16), np.array([1, np.nan], ml_dtypes.bfloat16), np.inf),
        (np.array([-4, 2], ml_dtypes.int4), np.array([-4, 1], ml_dtypes.int4), 0.25),
    ],
)
def test_differences_know_the_types_of_ml_dtypes(reference: Array, actual: Array, error: float) -> None:
    assert difference("y", reference, actual).error == error


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_noise_is_measured_in_the_last_place_of_every_float(dtype: type[np.generic]) -> None:
    x = np.array([1, -3, np.inf, np.nan], dtype)
    moved = one_unit_away({"x": x}, 0)["x"]
    assert moved.dtype == x.dtype
    assert (moved != x).tolist() == [True, True, False, True]
    np.testing.assert_array_less(np.abs(moved[:2].astype(float) - x[:2].astype(float)), 2.0**-5)
