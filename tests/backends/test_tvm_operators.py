"""Operators through TVM, each against the same operator in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from graphopt.backends.tvm.build import build
from graphopt.backends.tvm.executor import TvmExecutor
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.lower.support import supports
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.ir.constants import is_constant
from graphopt.targets import parse_target


def parse_with_weights(text: str, rng: np.random.Generator) -> onnx.ModelProto:
    """Parse a model whose declared values are weights, and draw them."""
    proto = onnx.parser.parse_model(text)
    for weight in proto.graph.value_info:
        shape = [dim.dim_value for dim in weight.type.tensor_type.shape.dim]
        values = rng.standard_normal(shape, dtype=np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, weight.name))
    del proto.graph.value_info[:]
    return proto


def run_both(text: str, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Run a model given as ONNX text through TVM and through onnxruntime, weights and inputs random."""
    rng = np.random.default_rng(seed)
    proto = parse_with_weights(text, rng)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {value.name: rng.standard_normal(value.shape, dtype=np.float32) for value in session.get_inputs()}
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    target = parse_target("cpu")
    inputs = [value for value in model.graph.inputs if not is_constant(value)]
    refused = {node.op_type: supports(node) for node in model.graph if node.op_type != "Constant"}
    assert not any(refused.values()), refused
    module = schedule(lower(list(model.graph), inputs, list(model.graph.outputs), target), target)
    results = TvmExecutor(build(module, target), 2).run(list(feeds.values()))
    return results, session.run(None, feeds)


def wrap(output: str, body: str, inputs: str, weights: str = "") -> str:
    declared = f"<{weights}>" if weights else ""
    return f'<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => ({output}) {declared} {{ {body} }}'


CASES = {
    "three input channels": (
        "float[1,24,8,9] y",
        "y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w, b)",
        "float[1,3,15,17] x",
        "float[24,3,3,3] w, float[24] b",
    ),
    "channels that fill no block": (
        "float[2,19,9,9] y",
        "c = Conv <pads=[1,1,1,1]> (x, w) y = Relu (c)",
        "float[2,37,9,9] x",
        "float[19,37,3,3] w",
    ),
    "one tap, places that fill no tile": (
        "float[2,80,13,11] y",
        "c = Conv (x, w, b) s = Add (c, r) y = Relu (s)",
        "float[2,48,13,11] x, float[2,80,13,11] r",
        "float[80,48,1,1] w, float[80] b",
    ),
    "one tap, a task a few rows": (
        "float[1,32,56,58] y",
        "c = Conv (x, w, b) y = Sigmoid (c)",
        "float[1,128,56,58] x",
        "float[32,128,1,1] w, float[32] b",
    ),
    "one tap in three dimensions": (
        "float[1,16,3,5,7] y",
        "y = Conv (x, w)",
        "float[1,32,3,5,7] x",
        "float[16,32,1,1,1] w",
    ),
    "columns that fill no tile, a task a few rows": (
        "float[1,32,60,59] y",
        "c = Conv <pads=[2,2,2,2]> (x, w, b) y = Relu (c)",
        "float[1,64,60,59] x",
        "float[32,64,5,5] w, float[32] b",
    ),
    "pool over columns that fill no tile": (
        "float[1,16,18,37] y",
        "y = MaxPool <kernel_shape=[3,3], strides=[2,2]> (x)",
        "float[1,16,37,75] x",
        "",
    ),
    "groups that straddle blocks": (
        "float[1,60,7,7] y",
        "y = Conv <group=5> (x, w)",
        "float[1,50,7,7] x",
        "float[60,10,1,1] w",
    ),
    "aligned groups": (
        "float[1,64,7,7] y",
        "y = Conv <group=2, pads=[1,1,1,1]> (x, w)",
        "float[1,64,7,7] x",
        "float[64,32,3,3] w",
    ),
    "depthwise": (
        "float[1,20,5,5] y",
        "y = Conv <group=20, pads=[2,2,2,2], strides=[2,2]> (x, w)",
        "float[1,20,9,9] x",
        "float[20,1,5,5] w",
    ),
    "depthwise with a multiplier": (
        "float[1,40,9,9] y",
        "y = Conv <group=20, pads=[1,1,1,1]> (x, w)",
        "float[1,20,9,9] x",
        "float[40,1,3,3] w",
    ),
    "one spatial axis": (
        "float[1,16,20] y",
        "y = Conv <dilations=[2], pads=[2,2]> (x, w)",
        "float[1,32,20] x",
        "float[16,32,3] w",
    ),
    "three spatial axes": (
        "float[1,16,4,5,6] y",
        "y = Conv <pads=[1,1,1,1,1,1]> (x, w)",
        "float[1,4,4,5,6] x",
        "float[16,4,3,3,3] w",
    ),
    "transposed, each output one tap": (
        "float[1,20,14,10] y",
        "c = ConvTranspose <strides=[2,2]> (x, w, b) y = Relu (c)",
        "float[1,24,7,5] x",
        "float[24,20,2,2] w, float[20] b",
    ),
    "transposed, windows that overlap": (
        "float[1,20,13,10] y",
        "c = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[0,1]> (x, w, b) y = HardSwish (c)",
        "float[1,24,7,5] x",
        "float[24,20,3,3] w, float[20] b",
    ),
    "transposed, more columns than a tile": (
        "float[2,40,26,46] y",
        "y = ConvTranspose <strides=[2,2], pads=[1,1,1,1]> (x, w)",
        "float[2,24,13,23] x",
        "float[24,40,4,4] w",
    ),
    "transposed, gaps between outputs": (
        "float[1,20,11,9] y",
        "y = ConvTranspose <strides=[3,2], output_padding=[1,0]> (x, w, b)",
        "float[1,24,4,5] x",
        "float[24,20,1,1] w, float[20] b",
    ),
    "transposed, dilated": (
        "float[1,20,17,13] y",
        "y = ConvTranspose <strides=[2,1], dilations=[2,3], pads=[0,1,0,2]> (x, w)",
        "float[1,24,7,7] x",
        "float[24,20,3,4] w",
    ),
    "transposed in groups": (
        "float[1,57,14,10] y",
        "y = ConvTranspose <strides=[2,2], group=3> (x, w, b)",
        "float[1,24,7,5] x",
        "float[24,19,2,2] w, float[57] b",
    ),
    "transposed depthwise": (
        "float[1,20,14,10] y",
        "c = ConvTranspose <strides=[2,2], pads=[1,1,1,1], group=20> (x, w) y = Relu (c)",
        "float[1,20,7,5] x",
        "float[20,1,4,4] w",
    ),
    "transposed into few channels": (
        "float[2,3,14,10] y",
        "c = ConvTranspose <strides=[2,2], pads=[1,1,1,1]> (x, w, b) y = Sigmoid (c)",
        "float[2,24,7,5] x",
        "float[24,3,4,4] w, float[3] b",
    ),
    "transposed into few channels, more phases than a vector": (
        "float[1,3,28,20] y",
        "y = ConvTranspose <strides=[4,4], pads=[2,2,2,2]> (x, w, b)",
        "float[1,24,7,5] x",
        "float[24,3,8,8] w, float[3] b",
    ),
    "transposed to a given shape": (
        "float[1,20,14,11] y",
        "y = ConvTranspose <strides=[2,2], output_shape=[14,11]> (x, w)",
        "float[1,24,7,5] x",
        "float[24,20,3,4] w",
    ),
    "transposed along one axis": (
        "float[1,2,21] y",
        'y = ConvTranspose <strides=[3], auto_pad="SAME_UPPER"> (x, w)',
        "float[1,5,7] x",
        "float[5,2,5] w",
    ),
    "transposed in three dimensions": (
        "float[1,20,6,7,8] y",
        "y = ConvTranspose <strides=[2,1,2]> (x, w)",
        "float[1,4,3,5,4] x",
        "float[4,20,2,3,2] w",
    ),
    "softplus and mish": ("float[3,40] y", "s = Softplus (x) m = Mish (x) y = Sub (s, m)", "float[3,40] x", ""),
    "clip between inputs": ("float[3,40] y", "y = Clip (x, l, h)", "float[3,40] x, float l, float h", ""),
    "gather from the end": (
        "float[2,3,40] y",
        "i = Constant <value = int64[2] {-1, 0}> () y = Gather <axis=0> (x, i)",
        "float[5,3,40] x",
        "",
    ),
    "residual and activation": (
        "float[1,32,14,14] y",
        "c = Conv <pads=[1,1,1,1]> (x, w, b) s = Add (c, x) y = HardSwish (s)",
        "float[1,32,14,14] x",
        "float[32,32,3,3] w, float[32] b",
    ),
    "squeeze and excitation": (
        "float[1,24,6,6] y",
        "c = Conv (x, w) m = GlobalAveragePool (c) e = Conv (m, v) h = HardSigmoid (e) y = Mul (c, h)",
        "float[1,24,6,6] x",
        "float[24,24,1,1] w, float[24,24,1,1] v",
    ),
    "mean over many positions": (
        "float[1,20,1,1] y",
        "a = Constant <value = int64[2] {2, -1}> () y = ReduceMean (x, a)",
        "float[1,20,40,30] x",
        "",
    ),
    "mean over channels": (
        "float[2,1,6] y",
        "a = Constant <value = int64[1] {1}> () y = ReduceMean (x, a)",
        "float[2,20,6] x",
        "",
    ),
    "max pool with ceil_mode": (
        "float[1,20,5,5] y",
        "y = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (x)",
        "float[1,20,10,10] x",
        "",
    ),
    "average pool over padding": (
        "float[1,20,5,5] y",
        "y = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,0,0], count_include_pad=1> (x)",
        "float[1,20,10,10] x",
        "",
    ),
    "concat of odd channels": (
        "float[1,35,6,6] y",
        "a = Conv (x, w) b = Conv (x, v) y = Concat <axis=1> (a, b, x)",
        "float[1,8,6,6] x",
        "float[20,8,1,1] w, float[7,8,1,1] v",
    ),
    "gemm": (
        "float[3,10] y",
        "y = Gemm <transB=1, alpha=0.5, beta=2.0> (x, w, b)",
        "float[3,70] x",
        "float[10,70] w, float[10] b",
    ),
    "matmul of a stack": ("float[2,5,33] y", "y = MatMul (x, w)", "float[2,5,48] x", "float[48,33] w"),
    "divide by a value that may be zero in padding": (
        "float[1,20,6,6] y",
        "a = Conv (x, w) b = Conv (x, v) e = Exp (b) d = Div (a, e) y = Conv (d, u)",
        "float[1,8,6,6] x",
        "float[20,8,1,1] w, float[20,8,1,1] v, float[20,20,1,1] u",
    ),
    "broadcast of a row": (
        "float[1,20,6,6] y",
        "a = Conv (x, w) y = Mul (a, s)",
        "float[1,8,6,6] x, float[6] s",
        "float[20,8,1,1] w",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_onnxruntime(name: str) -> None:
    ours, reference = run_both(wrap(*CASES[name]))
    for actual, expected in zip(ours, reference, strict=True):
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("operator", "before", "how", "after"),
    [("Reshape", "[2,3]", "[2]", "[3,2]"), ("Squeeze", "[2,1]", "[1]", "[2]"), ("Unsqueeze", "[6]", "[1]", "[1,6]")],
)
def test_a_shape_that_only_a_run_knows_stays_with_who_checks_it(
    operator: str, before: str, how: str, after: str
) -> None:
    text = wrap(f"float{after} y", f"y = {operator} (x, how)", f"float{before} x, int64{how} how")
    model = ir.from_proto(onnx.parser.parse_model(text))
    assert "not constant" in (supports(model.graph[0]) or "")


def test_what_the_importer_lowers_shares_a_kernel_with_what_follows() -> None:
    text = wrap("float[3,40] y", "e = Exp (x) y = Neg (e)", "float[3,40] x")
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))).graph
    target = parse_target("cpu")
    module = schedule(lower(list(graph), list(graph.inputs), list(graph.outputs), target), target)
    assert "fused_tir_exp_tir_negative" in {name.name_hint for name in module.functions}


KERNELS = {
    "transposed": (
        {"pack", "fused_conv_transpose_add_hardswish", "unpack"},
        "float[1,20,14,10] y",
        "c = ConvTranspose <strides=[2,2], pads=[1,1,1,1]> (x, w, b) y = HardSwish (c)",
        "float[1,24,7,5] x",
        "float[24,20,4,4] w, float[20] b",
    ),
    "resized": (
        {"pack", "max_pool", "resize", "max_pool1", "unpack"},
        "float[1,20,11,13] y",
        """s = Constant <value = float[4] {1,1,2,2}> () c = MaxPool <kernel_shape=[1,1]> (x)
        r = Resize <mode="linear"> (c, , s) y = MaxPool <kernel_shape=[2,2]> (r)""",
        "float[1,20,6,7] x",
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_what_changes_the_size_stays_in_blocks_of_channels(name: str) -> None:
    kernels, *parts = KERNELS[name]
    proto = parse_with_weights(wrap(*parts), np.random.default_rng(0))
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(proto)).graph
    target = parse_target("cpu")
    inputs = [value for value in graph.inputs if not is_constant(value)]
    module = schedule(lower(list(graph), inputs, list(graph.outputs), target), target)
    assert {name.name_hint for name in module.functions} - {"main"} == kernels
