"""convert-float beyond its cases: operators, types, measured ranges, bad data, trained networks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.errors import CalibrationError, PassFailureError
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from tests.conformance.cases import reference, reference_of, run
from tests.conformance.node_cases import node_cases
from tests.shared_models import SHARED_MODELS, SharedModel

CHUNKS = 4
COARSE = 0.02
"""Of the largest magnitude of an answer: what a few roundings to eleven bits may do to a single operator."""
NOT_MEASURED = "activations are not measured, since the model does not run on random inputs: "
CHAIN = """
g (float[2,8] x) => (float[2,8] y)
<float[8,8] w>
{ m = MatMul (x, w)  e = Exp (m)  y = Sigmoid (e) }
"""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_operator_cases_answer_alike(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")
    converted = 0
    for case in node_cases()[chunk :: CHUNKS * 4]:
        expected = reference(case)
        if expected is None or any(item.domain == "" and item.version < 7 for item in case.model.opset_import):
            continue
        model, report = graphopt.optimize(case.model, "convert-float")
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto)
        actual = run(reference_of(proto), case.inputs)
        assert all(is_alike(array, actual[name]) for name, array in expected.items()), case.name
        assert graphopt.optimize(model, "convert-float").report.changes == 0, case.name
        converted += bool(report.changes)
    assert converted > 50


def is_alike(expected: Any, actual: Any) -> bool:
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(is_alike, expected, actual))
    if expected is None or expected.dtype.kind not in "fV":
        return expected is None or np.array_equal(expected, actual)
    if expected.dtype.kind == "V":  # the types of ml_dtypes
        return is_alike(expected.astype(np.float32), actual.astype(np.float32))
    finite = np.isfinite(expected)
    scale = np.abs(expected[finite]).max(initial=1e-3)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(expected.astype(np.float64) - actual.astype(np.float64))[finite] <= COARSE * scale
    return expected.dtype == actual.dtype and bool(near.all()) and np.array_equal(finite, np.isfinite(actual))


@pytest.mark.parametrize(("keep_io", "border"), [("true", ir.DataType.FLOAT), ("false", ir.DataType.FLOAT16)])
def test_the_types_of_inputs_and_outputs(keep_io: str, border: ir.DataType) -> None:
    model, _ = graphopt.optimize(parse_model(CHAIN), f"convert-float{{keep-io={keep_io}}}")
    verify(model, types=True)
    assert {value.dtype for value in (*model.graph.inputs, *model.graph.outputs)} == {border}
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == ["x", "y"]


def test_bfloat16_is_for_other_machines_than_this() -> None:
    model, report = graphopt.optimize(parse_model(CHAIN, opset=22), "convert-float{to=bfloat16 runnable=false}")
    verify(model, types=True)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert model.graph.initializers["w"].dtype is ir.DataType.BFLOAT16
    assert not list(report.remarks)


def test_attributes_that_name_float32_name_float16_then() -> None:
    text = """
    g (int64[2] n, float[2,8] x) => (float[K,L] y, float[2,8] z)
    { f = ConstantOfShape <value = float[1] {0.5}> (n)  y = Neg (f)  e = EyeLike <dtype = 1> (x)  z = Neg (e) }
    """
    model, _ = graphopt.optimize(parse_model(text), "convert-float")
    verify(model, types=True)
    made = {node.op_type: node.outputs[0].dtype for node in model.graph if node.op_type != "Cast"}
    assert made == dict.fromkeys(("ConstantOfShape", "Neg", "EyeLike"), ir.DataType.FLOAT16)


def test_ranges_are_those_of_the_given_data(tmp_path: Path) -> None:
    data = tmp_path / "feeds.npz"
    np.savez(data, x=np.full((2, 8), 12.0, np.float32))
    text = CHAIN.replace("MatMul (x, w)", "Identity (x)").replace("<float[8,8] w>", "")
    alone, _ = graphopt.optimize(parse_model(text), "convert-float")
    measured, report = graphopt.optimize(parse_model(text), f'convert-float{{data="{data}"}}')
    assert kept(alone) == set()
    assert kept(measured) == {"Exp", "Sigmoid"}
    assert any("'e' reaches 1.628e+05" in str(remark) for remark in report.remarks)


def kept(model: ir.Model) -> set[str]:
    return {node.op_type for node in model.graph if node.op_type != "Cast" and node.inputs[0].dtype == 1}


def test_a_numeric_check_allows_the_rounding_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model = parse_model(CHAIN.replace("Sigmoid (e)", "Mul (e, m)"))
    graphopt.optimize(model, "convert-float,eliminate-identity", check=graphopt.NumericCheck())
    monkeypatch.setattr("passes.convert_float.ROUNDINGS", 0)
    with pytest.raises(PassFailureError, match="changed the answers"):
        graphopt.optimize(model, "convert-float", check=graphopt.NumericCheck(tolerance=1e-6))


def test_a_model_that_does_not_run_on_random_inputs_is_not_measured() -> None:
    """A case would be executed on random inputs, which are no sizes."""
    text = "g (float[2,8] x, int64[2] sizes) => (float[A,B] y) { y = Reshape (x, sizes) }"
    model, report = graphopt.optimize(parse_model(text), "convert-float")
    assert [node.op_type for node in model.graph] == ["Cast", "Reshape", "Cast"]
    assert any(NOT_MEASURED in str(remark) for remark in report.remarks)


def test_bad_data_are_one_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", z=np.zeros(3, np.float32))
    for name, words in (("absent.npz", "cannot read"), ("other.npz", "does not run on")):
        with pytest.raises(CalibrationError, match=words):
            graphopt.optimize(parse_model(CHAIN), f'convert-float{{data="{tmp_path / name}"}}')


def test_calls_of_functions_stay() -> None:
    text = """
    g (float[2] x) => (float[2] y) { a = Relu (x)  y = own.f (a) }
    <domain: "own", opset_import: ["" : 17]> f (a) => (b) { b = Neg (a) }
    """
    model, _ = graphopt.optimize(parse_model(text), "convert-float")
    verify(model)
    feeds = {"x": np.array([1, -2], np.float32)}
    assert Session(ir.to_proto(model).SerializeToString()).run(feeds)["y"].tolist() == [-1.0, 0.0]


TRAINED = [model for model in SHARED_MODELS if model.name in {"cifar_resnet20", "mnist_conv"}]


@pytest.mark.parametrize("model", TRAINED, ids=lambda model: model.name)
def test_trained_networks_classify_alike_in_half_the_bytes(model: SharedModel) -> None:
    if not model.path.exists():
        pytest.skip("the shared models are not here")
    converted, _ = graphopt.optimize(model.path, "convert-float")
    data = ir.to_proto(converted).SerializeToString()
    assert len(data) < 0.57 * model.path.stat().st_size
    before, after = Session(model.path, optimize=False), Session(data, optimize=False)
    name, agreed, right = before.inputs[0].name, 0, np.zeros(2, int)
    for x, label in itertools.islice(model.samples(), 400):
        one, other = (int(np.argmax(next(iter(session.run({name: x}).values())))) for session in (before, after))
        agreed += one == other
        right += [one == label, other == label]
    assert agreed >= 399
    assert abs(int(right[0]) - int(right[1])) <= 1
