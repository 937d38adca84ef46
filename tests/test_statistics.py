from __future__ import annotations

import json

import pytest

from graphopt.inspect.layers import layers
from graphopt.inspect.statistics import static_shape, statistics
from graphopt.ir.shapes import infer_shapes
from tests.networks import CONV_BN_RELU, network


def test_a_network_in_numbers() -> None:
    model = network(CONV_BN_RELU.replace("float[N,", "float[2,"))
    infer_shapes(model)
    found = statistics(model)
    conv = 2 * 4 * 8 * 8 * 3 * 3 * 3
    assert found.macs == conv
    assert found.flops == 2 * conv + 2 * 512 + 512
    assert found.ops == {"Conv": 1, "BatchNormalization": 1, "Relu": 1}
    assert found.nodes == 3
    assert found.parameters == 4 * 3 * 3 * 3 + 4 * 4
    assert found.parameter_bytes == {"float": 4 * found.parameters}
    assert [str(spec) for spec in found.inputs] == ["x: float32[2, 3, 8, 8]"]
    assert found.opsets["ai.onnx"] >= 17
    assert found.uncounted == {}
    assert json.loads(json.dumps(found.to_dict()))["nodes"] == 3


def test_what_has_no_static_shape_is_said_to_be_uncounted() -> None:
    found = statistics(network())
    assert found.uncounted == {"Conv": 1, "BatchNormalization": 1, "Relu": 1}
    assert found.flops == 0
    with pytest.raises(ValueError, match="'x' has no static shape"):
        static_shape(network().graph.inputs[0])


@pytest.mark.parametrize(
    ("text", "macs", "flops"),
    [
        ("g (float[2,3] x) => (float[2,5] y) <float[3,5] w> { y = MatMul (x, w) }", 30, 60),
        ("g (float[3,2] x) => (float[2,5] y) <float[3,5] w> { y = Gemm <transA = 1> (x, w) }", 30, 60),
        ("g (float[4,2,3] x) => (float[4,2,5] y) <float[3,5] w> { y = MatMul (x, w) }", 120, 240),
        ("g (float[1,2,4] x) => (float[1,3,6] y) <float[2,3,3] w> { y = ConvTranspose (x, w) }", 72, 144),
        ("g (float[1,4,4] x) => (float[1,4,2] y) <float[4,1,3] w> { y = Conv <group = 4> (x, w) }", 24, 48),
        (
            "g (float[1,2,4,4] x) => (float[1,2,2,2] y) { y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) }",
            0,
            32,
        ),
        ("g (float[1,2,4,4] x) => (float[1,2,1,1] y) { y = GlobalAveragePool (x) }", 0, 32),
        ("g (float[2,3] x) => (float[3,2] y) { y = Transpose (x) }", 0, 0),
        ("g (float[2,3] x) => (float[2,3] y) { y = Sigmoid (x) }", 0, 6),
    ],
)
def test_the_arithmetic_of_operators(text: str, macs: int, flops: int) -> None:
    found = statistics(network(text))
    assert (found.macs, found.flops) == (macs, flops)


def test_the_most_that_is_alive_at_once() -> None:
    text = """g (float[2,6] x) => (float[2,2] y) <float[6,4] w, float[4,2] v>
    { a = MatMul (x, w) b = Relu (a) c = Add (a, b) d = Tanh (c) y = MatMul (d, v) }"""
    found = statistics(network(text))
    assert found.activations is None  # nobody inferred the shapes inside
    model = network(text)
    infer_shapes(model)
    found = statistics(model)
    assert found.activations == 4 * (2 * 4) * 3  # a, b and c, when x is gone
    assert "Add" in found.activations_at


def test_what_a_branch_reads_stays_alive() -> None:
    model = network("""g (float[4] x, bool c) => (float[4] y)
    { a = Neg (x) b = Exp (a) d = Abs (b) y = If (c) <then_branch = t () => (p) { p = Neg (a) },
      else_branch = e () => (p) { p = Abs (d) }> }""")
    infer_shapes(model)
    assert statistics(model).activations == 3 * 16 + 1  # a, d and y; c from the start


def test_zeros_and_the_share_in_integers() -> None:
    model = network("""g (float[2,4] x) => (float[2,4] y)
    <float[4,4] w, float s = {0.5}, int8 z = {0}, int8[4,4] q = {0,1,0,2,0,3,0,4,0,5,0,6,0,7,0,8}>
    { xq = QuantizeLinear (x, s, z) xd = DequantizeLinear (xq, s, z) wd = DequantizeLinear (q, s, z)
      m = MatMul (xd, wd) y = MatMul (m, w) }""")
    infer_shapes(model)
    found = statistics(model)
    assert found.zeros == 8 + 1
    assert (found.products, found.quantized_products) == (2, 1)
    assert (found.macs, found.quantized_macs) == (64, 32)


def test_layers() -> None:
    model = network(CONV_BN_RELU.replace("float[N,", "float[2,"))
    infer_shapes(model)
    conv, norm, relu = layers(model)
    assert (conv.op, conv.shape, conv.dtype, conv.parameters) == ("Conv", "2×4×8×8", "float", 108)
    assert conv.macs == 2 * 4 * 8 * 8 * 27
    assert conv.bytes == 4 * (2 * 3 * 8 * 8 + 108 + 2 * 4 * 8 * 8)
    assert conv.intensity == pytest.approx(2 * conv.macs / conv.bytes)
    assert (norm.parameters, relu.parameters) == (16, 0)
    conv, *_ = layers(network())
    assert (conv.macs, conv.bytes, conv.intensity) == (None, None, None)
