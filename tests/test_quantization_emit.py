"""A plan written into a model: the form that targets take, the answers, and the graphs that are awkward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.checker import check_model

from graphopt.backends.ort.reference import evaluate, random_feeds, reference_session
from graphopt.errors import CalibrationError, ModelError
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.quantization.affine import affine_of
from graphopt.quantization.decide import decide
from graphopt.quantization.emit import emit
from graphopt.quantization.forms import FORMS
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import SCHEMES, Scheme, parse_scheme
from graphopt.quantization.selection import Selection, select
from tests.networks import network

CONV = """
g (float[N,3,8,8] x) => (float[N,4,8,8] y)
<float[4,3,3,3] w, float[4] b>
{ c = Conv <pads = [1,1,1,1]> (x, w, b)
  y = Relu (c) }
"""
AWKWARD = {
    "residual": """
g (float[N,4,8,8] x) => (float[N,4,8,8] y)
<float[4,4,1,1] w, float[4] b, float[4,4,1,1] v>
{ c = Conv (x, w, b)
  r = Relu (c)
  d = Conv (r, v)
  s = Add (d, x)
  t = Relu (s)
  y = Conv (t, w) }""",
    "weights shared by layers": """
g (float[N,4,8,8] x) => (float[N,4,8,8] y)
<float[4,4,1,1] w, float[4] b>
{ c = Conv (x, w, b)
  y = Conv (c, w, b) }""",
    "one matrix read both ways": """
g (float[N,4] x) => (float[N,4] y)
<float[4,4] w>
{ c = MatMul (x, w)
  y = Gemm <transB = 1> (c, w) }""",
    "a value that is an output and read twice": """
g (float[N,4,8,8] x) => (float[N,4,8,8] c, float[N,4,8,8] y, float[N,4,8,8] z)
<float[4,4,1,1] w>
{ c = Conv (x, w)
  y = Conv (c, w)
  z = Tanh (c) }""",
    "a float that is an output and read by a layer": """
g (float[N,4,8,8] x) => (float[N,4,8,8] t, float[N,4,8,8] y)
<float[4,4,1,1] w>
{ t = Tanh (x)
  y = Conv (t, w) }""",
    "grouped and depthwise": """
g (float[N,4,8,8] x) => (float[N,4,8,8] y)
<float[4,2,1,1] w, float[4,1,3,3] v, float[4] b>
{ c = Conv <group = 2> (x, w)
  y = Conv <group = 4, pads = [1,1,1,1]> (c, v, b) }""",
    "moves": """
g (float[N,4,8,8] x) => (float[N,4] y)
<float[4,4,1,1] w, float[64,4] m, int64[1] zero = {0}, int64[1] one = {1}, int64[1] three = {3}, int64[1] end = {64},
 int64[2] shape = {0, -1}, float[4] scales = {1.0, 1.0, 2.0, 2.0}>
{ c = Conv (x, w)
  p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (c)
  s = Slice (p, one, three, one)
  u = Resize <mode = "nearest"> (s, , scales)
  t = Transpose <perm = [0,2,3,1]> (u)
  q = MaxPool <kernel_shape = [2,1], strides = [2,1]> (t)
  a, b = Split <axis = 1, num_outputs = 2> (q)
  r = Reshape (a, shape)
  k = Concat <axis = 1> (r, r)
  e = Slice (k, zero, end, one)
  y = MatMul (e, m) }""",
    "concat of branches": """
g (float[N,4,8,8] x) => (float[N,4,8,8] y)
<float[4,4,1,1] w, float[4,8,1,1] v>
{ a = Conv (x, w)
  b = Conv (a, w)
  k = Concat <axis = 1> (a, b)
  y = Conv (k, v) }""",
    "pools, pairs and maps": """
g (float[N,4,8,8] x) => (float[N,4] y)
<float[4,4,1,1] w, float[4,4] m, float[4] b>
{ c = Conv (x, w)
  l = LeakyRelu <alpha = 0.1> (c)
  p = GlobalAveragePool (l)
  s = Conv (p, w)
  g = Sigmoid (s)
  e = Mul (l, g)
  d = AveragePool <kernel_shape = [8,8]> (e)
  f = Flatten (d)
  y = Gemm (f, m, b) }""",
    "a branch": """
g (float[N,4,8,8] x, bool flag) => (float[N,4,8,8] y)
<float[4,4,1,1] w>
{ c = Conv (x, w)
  d = If (flag) <
    then_branch = yes () => (float[N,4,8,8] p) { p = Conv (c, w) },
    else_branch = no () => (float[N,4,8,8] q) { q = Tanh (c) }>
  y = Conv (d, w) }""",
    "an operand twice": """
g (float[N,4,8,8] x) => (float[N,4,8,8] y)
<float[4,4,1,1] w>
{ c = Conv (x, w)
  s = Add (c, c)
  y = Conv (s, w) }""",
    "a clamp that two read": """
g (float[N,4,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] z)
<float[4,4,1,1] w, float low = {0.0}, float high = {6.0}>
{ c = Conv (x, w)
  r = Clip (c, low, high)
  y = Conv (r, w)
  z = Tanh (r) }""",
}


def inferred(text: str, opset: int | None = None) -> ir.Model:
    """Parse a network and infer its types, as pipelines do."""
    model = network(text)
    model.opset_imports[""] = opset or model.opset_imports[""]
    infer_shapes(model)
    return model


def ranges(model: ir.Model, selection: Selection, *, samples: int = 8) -> dict[str, tuple[float, float]]:
    """Observe the sources of a selection on random inputs."""
    probe = model.clone()
    wanted = [str(value.name) for value in selection.sources]
    inputs = {str(value.name) for value in model.graph.inputs}
    values = {str(value.name): value for node in probe.graph for value in node.outputs}
    probe.graph.outputs.clear()
    probe.graph.outputs.extend(values[name] for name in wanted if name not in inputs)
    found: dict[str, tuple[float, float]] = {}
    for seed in range(samples):
        feeds = random_feeds(model, seed=seed)
        computed = evaluate(probe, feeds) if list(probe.graph.outputs) else {}
        for name, array in {**feeds, **computed}.items():
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(array.min())), max(high, float(array.max()))
    return {name: found[name] for name in wanted}


def planned(model: ir.Model, scheme: Scheme) -> Plan:
    selection = select(model, scheme)
    return decide(selection, {} if scheme.weights_only else ranges(model, selection), scheme)


def quantized(model: ir.Model, scheme: str | Scheme = "x64") -> ir.Model:
    scheme = parse_scheme(scheme) if isinstance(scheme, str) else scheme
    written = model.clone()
    emit(written, planned(model, scheme), scheme.form)
    return written


def ops(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def error(model: ir.Model, written: ir.Model, seed: int = 7) -> float:
    feeds = random_feeds(model, seed=seed)
    expected, actual = evaluate(model, feeds), evaluate(written, feeds)
    assert list(expected) == list(actual)
    return max(float(np.abs(expected[name] - actual[name]).max() / np.abs(expected[name]).max()) for name in expected)


def hold_form(model: ir.Model) -> None:
    """Hold a graph to what keeps onnxruntime computing in integers."""
    for node in model.graph:
        if node.op_type == "DequantizeLinear":
            (value,) = node.outputs
            assert len(value.uses()) + value.is_graph_output() == 1, f"{value.name} has several readers"
        if node.op_type == "QuantizeLinear":
            producer = node.inputs[0].producer()
            if producer is not None and all(
                value.producer() is not None and value.producer().op_type == "DequantizeLinear"
                for value in producer.inputs[:1]
            ):
                assert len(node.inputs[0].uses()) == 1, f"{node.inputs[0].name} is read as a float too"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_graphs_stay_valid_and_answer_nearly_the_same(name: str, scheme: str) -> None:
    model = inferred(AWKWARD[name], 21)
    written = quantized(model, scheme)
    verify(written, types=True)
    check_model(ir.to_proto(written), full_check=True)
    assert [value.name for value in written.graph.inputs] == [value.name for value in model.graph.inputs]
    for before, after in zip(model.graph.outputs, written.graph.outputs, strict=True):
        assert (before.name, before.dtype, before.shape) == (after.name, after.dtype, after.shape)
    assert error(model, written) < {"weights-int4": 0.5, "x64-int16": 0.05, "x64-pow2": 0.2}.get(scheme, 0.12)
    if parse_scheme(scheme).form == "x64":
        hold_form(written)
    assert error(written, model) > 0  # something was rounded


def fused(model: ir.Model) -> Counter[str]:
    """Count the operators that onnxruntime runs in integers or as something else."""
    import tempfile
    from pathlib import Path

    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options, ["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    return Counter(node.op_type for node in graph.node)


@pytest.mark.parametrize(
    ("name", "integers"),
    [
        ("residual", {"QLinearConv": 3, "QLinearAdd": 1}),
        ("a value that is an output and read twice", {"QLinearConv": 2}),
        ("grouped and depthwise", {"QLinearConv": 2}),
        ("pools, pairs and maps", {"QLinearConv": 2, "QLinearMul": 1, "QLinearLeakyRelu": 1, "QLinearSigmoid": 1}),
        ("a clamp that two read", {"QLinearConv": 2}),
    ],
)
def test_onnxruntime_computes_in_integers(name: str, integers: Mapping[str, int]) -> None:
    found = fused(quantized(inferred(AWKWARD[name])))
    assert {op: found[op] for op in integers} == integers
    assert not {"Conv", "Add", "Mul", "LeakyRelu", "Sigmoid", "Relu", "Clip"} & found.keys()


def test_a_convolution_is_that_of_rounded_numbers() -> None:
    model = inferred(CONV)
    plan = planned(model, SCHEMES["x64"])
    written = model.clone()
    emit(written, plan, "x64")
    feeds = random_feeds(model, seed=3)
    reference = model.clone()
    values = {str(value.name): value for value in reference.graph.initializers.values()}
    weight, bias = constant(values["w"]), constant(values["b"])
    rounded = plan.weights["w"].round_trip(weight)
    step = plan.values["x"].scale.astype(np.float64) * plan.weights["w"].scale
    values["w"].const_value = ir.tensor(rounded)
    values["b"].const_value = ir.tensor((np.rint(bias / step.astype(np.float32)) * step).astype(np.float32))
    (expected,) = evaluate(reference, {"x": plan.values["x"].round_trip(feeds["x"])}).values()
    (actual,) = evaluate(written, feeds).values()
    steps = plan.values["y"].quantize(expected).astype(int) - plan.values["y"].quantize(actual).astype(int)
    assert np.abs(steps).max() <= 1  # a sum that lies between two integers may go either way
    assert (steps == 0).mean() > 0.99


def test_relu_goes_where_the_integers_clip_as_well() -> None:
    assert "Relu" not in ops(quantized(inferred(CONV)))
    assert ops(quantized(inferred(CONV), "tensorrt"))["Relu"] == 1
    symmetric = quantized(inferred(CONV), "x64{activations=int8 symmetric=true}")
    assert ops(symmetric)["Clip"] == 1  # of integers, from 0 on
    (clip,) = (node for node in symmetric.graph if node.op_type == "Clip")
    assert clip.inputs[0].dtype is ir.DataType.INT8
    assert (int(constant(clip.inputs[1])), int(constant(clip.inputs[2]))) == (0, 127)
    assert error(inferred(CONV), symmetric) < 0.1


def test_a_power_of_two_beyond_a_clip_clips_integers() -> None:
    model = inferred(AWKWARD["a clamp that two read"])
    written = quantized(model, "x64-pow2")
    (clip,) = (node for node in written.graph if node.op_type == "Clip")
    affine = affine_of(0, 6, np.dtype(np.uint8), power_of_two=True)
    assert int(constant(clip.inputs[2])) == int(affine.quantize(np.float32(6).reshape(()))) < 255


def test_tensorrt_quantizes_the_residual_branch_alone() -> None:
    model = inferred(AWKWARD["residual"])
    plan = planned(model, SCHEMES["tensorrt"])
    assert "d" not in plan.values
    assert {"x", "r", "t"} <= set(plan.values)
    assert all(int(affine.zero_point) == 0 and affine.dtype == np.int8 for affine in plan.values.values())
    written = quantized(model, "tensorrt")
    (add,) = (node for node in written.graph if node.op_type == "Add")
    assert [value.producer().op_type for value in add.inputs] == ["Conv", "DequantizeLinear"]
    assert all(
        node.inputs[2].dtype is ir.DataType.FLOAT
        for node in written.graph
        if len(node.inputs) > 2 and node.op_type == "Conv"
    )


def test_a_bias_is_an_int32_with_the_scale_of_the_products() -> None:
    model = inferred(CONV)
    plan = planned(model, SCHEMES["x64"])
    (conv,) = (node for node in quantized(model).graph if node.op_type == "Conv")
    integers, scale, _ = conv.inputs[2].producer().inputs
    assert integers.dtype is ir.DataType.INT32
    np.testing.assert_allclose(constant(scale), plan.values["x"].scale * plan.weights["w"].scale, rtol=1e-6)


def test_weights_alone_leave_activations() -> None:
    written = quantized(inferred(CONV), "weights-int8")
    assert ops(written) == {"DequantizeLinear": 1, "Conv": 1, "Relu": 1}


def test_small_integers_need_their_opset() -> None:
    with pytest.raises(ModelError, match="needs opset 21, not 18; run convert-opset{version=21} before"):
        quantized(inferred(CONV, 18), "weights-int4")


def test_four_bits_are_packed() -> None:
    model = inferred(CONV, 21)
    (weight,) = (v for v in quantized(model, "weights-int4").graph.initializers.values() if v.name == "w_quantized")
    assert weight.dtype is ir.DataType.INT4
    assert constant(weight).dtype == ml_dtypes.int4


def test_given_integers_and_biases_are_written() -> None:
    model = inferred(CONV)
    plan = planned(model, SCHEMES["x64"])
    ones = np.ones((4, 3, 3, 3), np.int8)
    emit(model, Plan(plan.values, plan.weights, {"w": ones}, {"b": np.full(4, 2, np.float32)}, plan.nodes), "x64")
    (conv,) = (node for node in model.graph if node.op_type == "Conv")
    np.testing.assert_array_equal(constant(conv.inputs[1].producer().inputs[0]), ones)
    integers, scale, _ = (constant(value) for value in conv.inputs[2].producer().inputs)
    np.testing.assert_allclose(integers * scale, 2, rtol=1e-3)


def test_a_bias_may_be_new() -> None:
    model = inferred(AWKWARD["grouped and depthwise"])
    plan = planned(model, SCHEMES["x64"])
    before = evaluate(model, random_feeds(model))["y"]
    biases = {"c": np.full(4, 3, np.float32)}
    emit(model, Plan(plan.values, plan.weights, {}, biases, plan.nodes), "x64")
    first = next(node for node in model.graph if node.op_type == "Conv")
    assert first.inputs[2].producer().op_type == "DequantizeLinear"
    assert not np.allclose(evaluate(model, random_feeds(model))["y"], before, atol=0.5)


def test_a_plan_of_another_model_is_refused() -> None:
    with pytest.raises(CalibrationError, match="the plan speaks of node of output 'k'"):
        emit(inferred(CONV), Plan(nodes=frozenset({"k"})), "x64")


def test_every_form_has_an_emitter() -> None:
    from graphopt.quantization.emit import EMITTERS

    assert EMITTERS.keys() == FORMS.keys() == {scheme.form for scheme in SCHEMES.values()}


def test_onnxruntime_answers_as_without_its_optimizations() -> None:
    model = quantized(inferred(AWKWARD["residual"]))
    feeds = random_feeds(model)
    plain, optimized = evaluate(model, feeds), reference_session(model, optimize=True).run(feeds)
    for name, array in plain.items():
        assert np.abs(array - optimized[name]).max() <= np.abs(array).max() * 0.02
