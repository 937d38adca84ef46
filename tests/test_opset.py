"""Conversion between opsets: equal answers, an untouched graph on refusal, reasons for what does not convert."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.errors import ModelError
from graphopt.ir.operators import NEWEST_OPSET
from graphopt.ir.opset import convert_opset
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.text.printer import format_model
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from tests.cases import Case, read_cases

CASES = read_cases(Path(__file__).parent / "opsets")
SHARED_TEXT = """
g (float[N,1,32] x, float[1,32] z) => (float[N,32] y, float[32] v)
<float[32,32] w>
{
  s = Squeeze <axes = [1]> (x)
  m = MatMul (s, w)
  y = Softmax (m)
  v = ReduceSum <axes = [0], keepdims = 0> (z)
}
"""


@pytest.mark.parametrize("version", [13, 18, 21, 24])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_answers_and_names_stay(case: Case, version: int) -> None:
    model = parse_model(case.before, seed=1)
    if model.opset_imports[""] > version:
        pytest.skip("younger than that")
    infer_shapes(model)
    before = parse_model(format_model(model, max_elements=None))
    feeds = random_feeds(before, seed=3)
    convert_opset(model, version)
    verify(model, types=True)
    assert model.opset_imports[""] == version
    assert interface(model) == interface(before)
    onnx.checker.check_model(ir.to_proto(model))
    for found in differences(evaluate(before, feeds), evaluate(model, feeds)):
        assert found.error <= 1e-6, f"{found}\n{format_model(model)}"
    assert convert_opset(model, version) == 0


@pytest.mark.parametrize("name", ["relu chain", "softmax along the last axis", "function", "if"])
def test_a_way_up_and_down_again_is_no_change(name: str) -> None:
    text = {
        "relu chain": "g (float[2,3] x) => (float[2,3] y) { r = Relu (x) y = Add (r, x) }",
        "softmax along the last axis": "g (float[2,3] x) => (float[2,3] y) { y = Softmax <axis = -1> (x) }",
        "function": (
            "g (float[2] x) => (float[2] y) { y = own.f <s = 0.5> (x) } "
            '<domain: "own", opset_import: ["" : 17]> f <s> (a) => (b) { b = LeakyRelu <alpha: float = @s> (a) }'
        ),
        "if": (
            "g (bool c, float[2] x) => (float[2] y) { y = If (c) <then_branch = t () => (float[2] p) { p = Neg (x) },"
            " else_branch = e () => (float[2] q) { q = Abs (x) }> }"
        ),
    }[name]
    model = parse_model(text)
    infer_shapes(model)
    before = format_model(model)
    convert_opset(model, 21)
    assert all(function.opset_imports[""] == 21 for function in model.functions.values())
    convert_opset(model, 17)
    assert format_model(model) == before


def test_defaults_that_are_written_out_do_not_stop_the_way_down() -> None:
    text = """
    g (float[1,2,3,3] x) => (float[1,18] y)
    <float[2] s, float[2] b, float[2] m, float[2] v = {1, 2}, int64[2] t = {1, 18}>
    {
        n = BatchNormalization <training_mode = 0> (x, s, b, m, v)
        y = Reshape <allowzero = 0> (n, t)
    }
    """
    model = parse_model(text)
    feeds = random_feeds(model)
    expected = evaluate(model, feeds)
    convert_opset(model, 9)
    verify(model, types=True)
    assert [list(node.attributes) for node in model.graph] == [[], []]
    assert differences(expected, evaluate(model, feeds))[0].error <= 1e-6
    with pytest.raises(ModelError, match="'training_mode', unknown"):
        convert_opset(parse_model(text.replace("training_mode = 0", "training_mode = 1")), 9)


def test_weights_stay_the_very_tensors() -> None:
    model = parse_model(SHARED_TEXT, opset=11)
    tensor = model.graph.initializers["w"].const_value
    convert_opset(model, 18)
    assert model.graph.initializers["w"].const_value is tensor


def test_overridable_initializers_stay_overridable() -> None:
    default = f"float[32,32] d = {{{', '.join(['1.0'] * 1024)}}}"
    text = SHARED_TEXT.replace("[1,32] z)", f"[1,32] z, {default})").replace("v = ", "q = Relu (d) v = ")
    model = parse_model(text, opset=11)
    convert_opset(model, 17)
    assert [value.name for value in model.graph.inputs] == ["x", "z", "d"]
    assert model.graph.inputs[2].is_initializer()


REDUCING = "g (float[1,2,6,6] x) => (float[1,2,4,4] y) <float[4] s = {1, 1, 0.7, 0.7}> { y = Resize (x, s) }"
CALLING = (
    "g (float[2,3,4] x) => (float[2,3,4] y) { y = own.f <s = 1> (x) } "
    '<domain: "own", opset_import: ["" : 11]> f <s> (a) => (b) { b = Softmax <axis: int = @s> (a) }'
)
BATCHED_SCAN = """
g (float[1,2] s, float[1,3,2] x) => (float[1,2] y)
{ y = Scan <num_scan_inputs = 1, body = b (float[2] a, float[2] i) => (float[2] o) { o = Add (a, i) }> ("", s, x) }
"""


@pytest.mark.parametrize(
    ("text", "opset", "version", "sentence"),
    [
        (SHARED_TEXT, 11, 6, "outside of 7"),
        (SHARED_TEXT, 11, NEWEST_OPSET + 1, "outside of 7"),
        ("g (float[2,3] x) => (float[2,3] y) { y = Gelu (x) }", 20, 17, "Gelu .* does not convert from opset 20 to 17"),
        ("g (int8[2] x) => (int8[2] y) { y = Add (x, x) }", 14, 13, "takes no tensor.int8."),
        ("g (seq(float[2]) x) => (seq(float[2]) y) { y = Identity (x) }", 14, 13, "takes no seq.tensor.float"),
        ("g (float[2] x) => (float[2] y, bool[2] m) { y, m = Dropout (x) }", 10, 13, "returns a mask"),
        (REDUCING, 10, 13, "may shrink an image"),
        (
            "g (float[1,1,2,2] x) => (float[1,1,4,4] y) <float[4] s = {1,1,2,2}> { y = Resize (x, '', s) }",
            13,
            10,
            "places pixels",
        ),
        (CALLING, 11, 13, "does not convert|inline"),
        (BATCHED_SCAN, 8, 9, "a Scan with a batch"),
    ],
)
def test_what_does_not_convert_has_a_reason_and_stays(text: str, opset: int, version: int, sentence: str) -> None:
    model = parse_model(text.replace("''", '""'), opset=opset)
    before = op_types(model)
    with pytest.raises(ModelError, match=sentence) as caught:
        convert_opset(model, version)
    assert "\n" not in str(caught.value)
    assert op_types(model) == before
    verify(model)
    assert model.opset_imports[""] == opset


def test_domains_without_ai_onnx_need_no_conversion() -> None:
    header = '<ir_version: 9, opset_import: ["ai.onnx.ml" : 3]>'
    model = parse_model(f"{header} g (float[2] x) => (float[2] y) {{ y = ai.onnx.ml.Binarizer (x) }}")
    assert convert_opset(model, 17) == 0
    assert model.opset_imports == {"ai.onnx.ml": 3}


def op_types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def interface(model: ir.Model) -> list[tuple[str | None, str]]:
    return [(value.name, str(value.shape)) for value in (*model.graph.inputs, *model.graph.outputs)]
