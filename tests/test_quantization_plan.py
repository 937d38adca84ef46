"""Affine maps are those of ONNX's QuantizeLinear, and a plan survives its text form."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from graphopt.errors import CalibrationError
from graphopt.quantization.affine import Affine, affine_of
from graphopt.quantization.plan import Plan
from tests.networks import network

DTYPES = tuple(map(np.dtype, (np.uint8, np.int8, np.uint16, np.int16, ml_dtypes.int4, ml_dtypes.uint4)))
reals = st.floats(-1e6, 1e6, width=32)
dtypes = st.sampled_from(DTYPES)


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    lower, upper = sorted((draw(reals), draw(reals)))
    return affine_of(lower, upper, draw(dtypes), symmetric=draw(st.booleans()), power_of_two=draw(st.booleans()))


def onnx_quantize(x: np.ndarray, affine: Affine) -> np.ndarray:
    """Evaluate QuantizeLinear in ONNX's reference, whose integers of four bits come as a byte each."""
    kind = helper.np_dtype_to_tensor_dtype(affine.dtype)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    inputs.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, affine.scale.shape))
    inputs.append(helper.make_tensor_value_info("z", kind, affine.zero_point.shape))
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=affine.axis or 0)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", kind, x.shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    feeds = {"x": x, "s": affine.scale, "z": affine.zero_point}
    return np.asarray(ReferenceEvaluator(model).run(None, feeds)[0])


@given(affines(), arrays.arrays(np.float32, 8, elements=st.integers(-200_000, 200_000).map(lambda n: n / 2)))
def test_it_rounds_as_onnx_does(affine: Affine, steps: np.ndarray) -> None:
    x = steps * affine.scale  # further out the reference overflows an int32
    np.testing.assert_array_equal(affine.quantize(x).astype(int), onnx_quantize(x, affine).astype(int))


def test_halves_go_to_the_even_neighbour_and_the_ends_hold() -> None:
    affine = affine_of(-128, 127, np.dtype(np.int8))
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 127.5, 1e30, -1e30], np.float32)
    assert affine.quantize(x).tolist() == [0, 2, 2, 0, -2, 127, 127, -128]


@given(affines())
def test_zero_is_exact(affine: Affine) -> None:
    assert affine.round_trip(np.zeros(1, np.float32)) == [0]


@given(affines(), arrays.arrays(np.float32, 8, elements=reals))
def test_within_the_interval_the_error_is_half_a_step(affine: Affine, x: np.ndarray) -> None:
    lower, upper = affine.interval()
    inside = np.clip(x, lower, upper)
    assert (np.abs(affine.round_trip(inside) - inside) <= affine.scale * 0.5001 + np.abs(inside) * 1e-6).all()
    assert np.array_equal(affine.round_trip(x), affine.round_trip(inside))


@given(reals, reals, dtypes)
def test_the_range_is_covered_within_half_a_step(one: float, other: float, dtype: np.dtype) -> None:
    lower, upper = sorted((one, other))
    affine = affine_of(lower, upper, dtype)
    least, greatest = affine.interval()
    slack = float(affine.scale) * 0.5001
    assert least - slack <= min(lower, 0) <= max(upper, 0) <= greatest + slack


@given(reals, reals, dtypes)
def test_symmetric_ones_have_zero_in_the_middle(one: float, other: float, dtype: np.dtype) -> None:
    affine = affine_of(min(one, other), max(one, other), dtype, symmetric=True)
    least, greatest = affine.limits
    assert int(affine.zero_point) == (least + greatest + 1) // 2
    assert affine.interval()[1] >= max(abs(one), abs(other)) * (1 - 1e-6)


def test_a_power_of_two_is_never_narrower() -> None:
    for width in np.geomspace(1e-6, 1e6, 50):
        exact, power = (affine_of(-width, width, np.dtype(np.int8), power_of_two=flag) for flag in (False, True))
        assert np.log2(power.scale) == np.rint(np.log2(power.scale))
        assert exact.scale <= power.scale < 2 * exact.scale


def test_channels_lie_along_their_axis() -> None:
    affine = affine_of(
        np.array([-1.0, -2.0, 0.0]), np.array([1.0, 2.0, 0.0]), np.dtype(np.int8), symmetric=True, axis=1
    )
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2) / 6
    assert affine.scale.tolist() == pytest.approx([1 / 127, 2 / 127, 1.0])
    np.testing.assert_array_equal(affine.quantize(x), onnx_quantize(x, affine))
    assert affine.round_trip(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("scale", "zero", "axis"),
    [([1.0, 2.0], [0, 0], None), (1.0, 0, 0), ([1.0], [0, 0], 0), (0.0, 0, None), (np.inf, 0, None), (-1.0, 0, None)],
)
def test_what_is_no_affine_map_is_refused(scale: object, zero: object, axis: int | None) -> None:
    with pytest.raises(ValueError, match="scale must"):
        Affine(np.array(scale, np.float32), np.array(zero, np.int8), axis)


def a_plan() -> Plan:
    weight = affine_of(-np.ones(4), np.ones(4), np.dtype(ml_dtypes.int4), symmetric=True, axis=0)
    rounded = weight.quantize(np.linspace(-1, 1, 108, dtype=np.float32).reshape(4, 3, 3, 3))
    values = {"x": affine_of(-1 / 3, 1, np.dtype(np.uint8)), "y": affine_of(0, 2, np.dtype(np.uint16))}
    return Plan(values, {"w": weight}, {"w": rounded}, {"c": np.arange(4, dtype=np.float32)}, frozenset({"c"}))


def test_the_text_form_is_exact(tmp_path: Path) -> None:
    plan = a_plan()
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert (again.values, again.weights, again.nodes) == (plan.values, plan.weights, plan.nodes)
    assert again.integers["w"].dtype == plan.integers["w"].dtype
    np.testing.assert_array_equal(again.integers["w"], plan.integers["w"])
    np.testing.assert_array_equal(again.biases["c"], plan.biases["c"])
    assert again.to_json() == plan.to_json()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"graphopt-plan": 99}', a_plan().to_json().replace("int4", "int5"), "\x00"]
)
def test_another_text_is_refused_in_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(CalibrationError, match="plan.json.*make it anew"):
        Plan.load(tmp_path / "plan.json")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="absent.json"):
        Plan.load(tmp_path / "absent.json")


def test_a_plan_belongs_to_its_model() -> None:
    a_plan().check(network())
    with pytest.raises(CalibrationError, match="activation 'z'"):
        Plan(values={"z": affine_of(0, 1, np.dtype(np.uint8))}).check(network())
    with pytest.raises(CalibrationError, match="constant 'x'"):
        Plan(weights={"x": affine_of(0, 1, np.dtype(np.int8))}).check(network())
