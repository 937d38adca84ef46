"""Conversion between opsets: equal answers, untouched source, reasons for what does not convert."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from graphopt.errors import ModelError
from graphopt.ir.operators import NEWEST_OPSET
from graphopt.ir.opset import convert_opset
from graphopt.ir.text.parser import parse_model
from graphopt.ir.text.printer import format_model
from graphopt.ir.verify import verify

TEXT = """
g (float[N,1,32] x, float[1,32] z) => (float[N,32] y, float[32] v)
<float[32,32] w>
{
    s = Squeeze <axes = [1]> (x)
    m = MatMul (s, w)
    y = Softmax (m)
    v = ReduceSum <axes = [0], keepdims = 0> (z)
}
"""


def run(model: ir.Model) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options)
    random = np.random.default_rng(0)
    return session.run(None, {"x": random.random((3, 1, 32), np.float32), "z": random.random((1, 32), np.float32)})


@pytest.mark.parametrize("version", [11, 13, 17, 18, 21])
def test_answers_names_and_the_source_stay(version: int) -> None:
    model = parse_model(TEXT, opset=11)
    before = format_model(model, max_elements=None)
    converted = convert_opset(model, version)
    verify(converted, types=True)
    assert converted.opset_imports[""] == version
    assert [value.name for value in converted.graph.inputs] == ["x", "z"]
    assert [value.name for value in converted.graph.outputs] == ["y", "v"]
    assert str(converted.graph.inputs[0].shape) == "[N,1,32]"
    for expected, actual in zip(run(model), run(converted), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert format_model(model, max_elements=None) == before


def test_weights_are_set_aside_and_given_back_as_they_are() -> None:
    model = parse_model(TEXT, opset=11)
    converted = convert_opset(model, 18)
    assert converted.graph.initializers["w"].const_value is model.graph.initializers["w"].const_value


def test_overridable_initializers_stay_overridable() -> None:
    default = f"float[32,32] d = {{{', '.join(['1.0'] * 1024)}}}"
    text = TEXT.replace("[1,32] z)", f"[1,32] z, {default})").replace("v = ", "q = Relu (d) v = ")
    converted = convert_opset(parse_model(text, opset=11), 17)
    assert [value.name for value in converted.graph.inputs] == ["x", "z", "d"]
    assert converted.graph.inputs[2].is_initializer()


@pytest.mark.parametrize(
    ("text", "opset", "version", "sentence"),
    [
        (TEXT, 11, 6, "outside of 7"),
        (TEXT, 11, NEWEST_OPSET + 1, "outside of 7"),
        ("g (float[2,3] x) => (float[2,3] y) { y = Gelu (x) }", 20, 17, "opset 20 does not convert to 17"),
        (
            "g (float[2] x) => (float[2] y) { y = own.f (x) } <domain: \"own\"> f (a) => (b) { b = Relu (a) }",
            17, 18, "functions .f. cannot change",
        ),
    ],
)  # fmt: skip
def test_what_does_not_convert_has_a_reason(text: str, opset: int, version: int, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        convert_opset(parse_model(text, opset=opset), version)
    assert "\n" not in str(caught.value)


def test_domains_without_ai_onnx_need_no_conversion() -> None:
    header = '<ir_version: 9, opset_import: ["ai.onnx.ml" : 3]>'
    text = f"{header} g (float[2] x) => (float[2] y) {{ y = ai.onnx.ml.Binarizer (x) }}"
    assert convert_opset(parse_model(text), 17).opset_imports == {"ai.onnx.ml": 3}
