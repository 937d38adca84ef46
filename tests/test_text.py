"""The textual form: what a test may leave out, what a reader sees, and that both directions agree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from graphopt.errors import ModelError
from graphopt.ir.load import load
from graphopt.ir.text.parser import parse_model
from graphopt.ir.text.printer import format_model
from graphopt.ir.verify import verify

FOLD = """
g (float[N,3,8,8] x) => (float[N,4,8,8] y)
<float[4,3,1,1] w, float[4] scale, float[4] shift, float[4] mean, float[4] spread>
{ c = Conv (x, w)
  y = BatchNormalization (c, scale, shift, mean, spread) }
"""
MADE_OF_EVERYTHING = """
<ir_version: 10, opset_import: ["" : 21, "own" : 1], producer_name: "a \\"quoted\\" name", metadata_props: ["k": "v"]>
"a graph" (float[N,?,"H + 1"] x, bool c, seq(float[2]) s, optional(int64[]) o, float[2] d = {1, 2}) => (float[] y, "odd name/1")
<float[2] b = {nan, -inf}, float16[2] h = {15360, 16384}, int4[3] p = {18, 3}, string[2] t = {"a", "b\\"\\\\"}, double z = {-0.0},
 bool[1] k = {1}, uint64[1] u = {18446744073709551615}, complex64[1] i = {1, 2}, float[0] e = {}>
{
    ["first node"] "odd name/1" = Identity (h)
    n, "" = own.two : fast <alpha = 1.5, names: strings = [], list = [1, 2], f = 0.1> (x, "", b)
    y = If (c) <then_branch = yes () => (float[2] r) <float[2] w = {3, 4}> { r = Add (d, w) },
                else_branch = no () => (float[2] q) { q = Constant <value = float[2] {1e-30, inf}> () }>
    float = Cast <to = 1> (k)
}
<domain: "own", opset_import: ["" : 21], overload: "fast">
two <alpha, names: strings = ["x"], list: ints = [], f: float = 1.0> (a, m, l) => (v, w)
{ v = LeakyRelu <alpha: float = @alpha> (a) w = Identity (l) }
"""  # noqa: E501 - one declaration a line would hide its structure


def canonical(model: ir.Model) -> bytes:
    """The model without what the text does not carry: doc strings of parts, made-up names, order of lists."""
    proto = ir.to_proto(model)
    _strip_graph(proto.graph)
    for function in proto.functions:
        _strip_nodes(function.node)
        _sort(function.value_info)
    return proto.SerializeToString(deterministic=True)


def _strip_graph(graph: onnx.GraphProto) -> None:
    graph.name = ""
    graph.ClearField("doc_string")
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("doc_string")
    constants = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.value_info if value.name not in constants]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    _sort(graph.value_info)
    _sort(graph.initializer)
    _strip_nodes(graph.node)


def _strip_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        node.name = ""
        node.ClearField("doc_string")
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            if attribute.type == onnx.AttributeProto.GRAPH:
                _strip_graph(attribute.g)


def _sort(items: object) -> None:
    items.sort(key=lambda item: item.name)


def test_the_header_is_optional_and_constants_get_seeded_data() -> None:
    model = parse_model(FOLD)
    verify(model, types=True)
    assert model.opset_imports == {"": 17}
    assert model.graph.initializers["w"].const_value.shape == [4, 3, 1, 1]
    assert (model.graph.initializers["spread"].const_value.numpy() > 0).all(), "a variance"


def test_data_depend_on_seed_and_name_alone() -> None:
    first, again, other = parse_model(FOLD), parse_model(FOLD), parse_model(FOLD, seed=1)
    weights = [model.graph.initializers["w"].const_value.numpy() for model in (first, again, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    alone = parse_model("g (float[N,3,8,8] x) => (y) <float[4,3,1,1] w> { y = Conv (x, w) }")
    assert np.array_equal(alone.graph.initializers["w"].const_value.numpy(), weights[0])


@pytest.mark.parametrize("dtype", ["float", "float16", "bfloat16", "double", "int8", "uint8", "int32", "int64", "bool",
                                   "int4", "uint4", "float8e4m3fn", "string", "complex64"])  # fmt: skip
def test_every_dtype_gets_data(dtype: str) -> None:
    model = parse_model(f"g () => ({dtype}[5] y) <{dtype}[5] k> {{ y = Identity (k) }}", opset=21)
    tensor = model.graph.initializers["k"].const_value
    assert tensor.dtype.name.lower() == dtype
    assert tensor.shape == [5]


def test_positive_where_only_that_means_something() -> None:
    model = parse_model("""
        g (float[8] x) => (y) <float s, uint8 zero, float[64] variance>
        { q = QuantizeLinear (x, s, zero) y = DequantizeLinear (q, s, zero) z = Sqrt (variance) }
    """)
    assert model.graph.initializers["s"].const_value.numpy() >= 0.5
    assert (model.graph.initializers["variance"].const_value.numpy() >= 0.5).all()


def test_domains_are_imported_without_a_header() -> None:
    text = """g (float[2] x) => (y) { a = own.f (x) y = com.microsoft.Gelu (a) }
              <domain: "own"> f (p) => (q) { q = Relu (p) }"""
    model = parse_model(text)
    assert model.opset_imports == {"": 17, "own": 1, "com.microsoft": 1}
    verify(model)


def test_large_constants_are_declared_without_data() -> None:
    text = format_model(parse_model(FOLD))
    assert "float[4,3,1,1] w,\n" in text
    assert "float[4] scale = {" in text
    assert "y = BatchNormalization (c, scale, shift, mean, spread)" in text
    assert parse_model(text).graph.initializers["w"].const_value.shape == [4, 3, 1, 1]


def test_large_constant_nodes_too() -> None:
    data = ", ".join(map(str, range(20)))
    model = parse_model(f"g () => (y) {{ k = Constant <value = int64[20] {{{data}}}> () y = Identity (k) }}")
    text = format_model(model)
    assert "int64[20] k" in text
    assert "Constant" not in text
    assert "Constant" in format_model(model, max_elements=20)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1, column 1"),
        ("g (", "line 1, column 4"),
        ("g (float[2] x) => (y) { y = Relu x }", "line 1, column 34: Expected character"),
        ("\n\n g (float[2 x) => (y) {}", "line 3, column 13: Expected character ]"),
        ("g (float[99999999999999999999] x) => (y) {}", "does not parse"),
        ("<ir_version: 8, foo: 1> g () => () {}", "line 1"),
        ("<ir_version: 8> g () => () {}", "imports no operator set"),
        ("g (float[2] x) => (y) { y = Relu (z) }", "reads 'z', which nothing defines"),
        ("g (float[2] x) => (y) { y = Relu (x) y = Relu (x) }", "'y' is defined twice"),
        ("g (float[2] x) => (y) <float[N] w> { y = Add (x, w) }", "constant 'w' .*number its dimensions"),
        ("g (float[2] x) => (y) <float[3] w = {1}> { y = Add (x, w) }", "tensor 'w'"),
    ],
)
def test_mistakes_have_a_place(text: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        parse_model(text)
    assert "\n" not in str(caught.value)
    assert "ir_version: 10" not in str(caught.value)


def test_everything_survives_printing_and_parsing() -> None:
    model = parse_model(MADE_OF_EVERYTHING)
    text = format_model(model, max_elements=None)
    again = parse_model(text)
    assert canonical(again) == canonical(model)
    assert format_model(again, max_elements=None) == text
    assert again.graph[0].name == "first node"


FOLDERS = Path(onnx.backend.test.__file__).parent / "data"


def test_models_of_the_onnx_wheel_survive_printing_and_parsing() -> None:
    paths = sorted(FOLDERS.glob("simple/**/model.onnx")) + sorted(FOLDERS.glob("light/*.onnx"))[:3]
    texts = 0
    for path in paths:
        try:
            model = load(path)
        except ModelError:
            continue
        if sum(tensor.const_value.size for tensor in model.graph.initializers.values()) < 100_000:
            assert canonical(parse_model(format_model(model, max_elements=None))) == canonical(model), path
            texts += 1
    assert texts > 10


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
DTYPES = st.sampled_from(["float32", "float64", "float16", "int8", "uint8", "int16", "int64", "uint64", "bool"])


@settings(max_examples=150, deadline=None)
@given(NAMES, DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))))
def test_any_name_and_any_data_survive(name: str, data: np.ndarray) -> None:
    value = ir.Value(name=name, const_value=ir.tensor(data, name=name), shape=ir.Shape(data.shape))
    value.dtype = value.const_value.dtype
    node = ir.Node("", "Identity", [value], [ir.AttrString("note", name), ir.AttrTensor("t", ir.tensor(data))])
    node.outputs[0].name = f"{name}_out"
    graph = ir.Graph([], node.outputs, nodes=[node], initializers=[value], opset_imports={"": 17}, name="g")
    again = parse_model(format_model(ir.Model(graph, ir_version=10), max_elements=None))
    assert again.graph[0].attributes["note"].as_string() == name
    for tensor in (again.graph.initializers[name].const_value, again.graph[0].attributes["t"].as_tensor()):
        assert tensor.dtype is value.const_value.dtype
        np.testing.assert_array_equal(tensor.numpy(), data, strict=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1), st.integers(-(2**63), 2**63 - 1))
def test_any_number_survives_as_an_attribute(numbers: list[float], integer: int) -> None:
    attributes = [ir.AttrFloat32s("fs", numbers), ir.AttrFloat32("f", numbers[0]), ir.AttrInt64("i", integer)]
    node = ir.Node("own", "F", [], attributes)
    node.outputs[0].name = "y"
    graph = ir.Graph([], node.outputs, nodes=[node], opset_imports={"own": 1}, name="g")
    again = parse_model(format_model(ir.Model(graph, ir_version=10))).graph[0].attributes
    np.testing.assert_array_equal(again["fs"].as_floats(), numbers)
    np.testing.assert_array_equal(again["f"].as_float(), numbers[0])
    assert again["i"].as_int() == integer
