"""The weights of a model, each once, and the biases that take up what they lose."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate
from graphopt.calibration.collect import collect
from graphopt.ir.edit import Names
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.quantization.mean_shift import shift_mean, takes_mean
from graphopt.quantization.weights import gram_of, grams_wanted, weights_of

LAYERS = {
    "Conv": "<float[4,3,1,1] w> { y = Conv (x, w) }",
    "grouped Conv": "<float[6,1,2,2] w, float[6] b> { y = Conv <group = 3> (x, w, b) }",
    "ConvTranspose": "<float[3,4,2,2] w, float[4] b> { y = ConvTranspose (x, w, b) }",
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_rows_go_back_as_they_came(layer: str) -> None:
    model = parse_model(f"g (float[N,3,5,5] x) => (float[N,C,H,W] y) {layer}")
    (weight,) = weights_of(model)
    before = weight.array
    weight.put(2 * weight.rows)
    assert np.array_equal(weight.array, 2 * before)
    assert weight.rows.shape[2] % weight.taps == 0


@pytest.mark.parametrize(
    "text",
    [
        "(float[N,2] x) => (float[N,2] y, float[2,2] w) <float[2,2] w> { y = MatMul (x, w) }",
        "(float[N,2] x) => (float[N,2] y) <float[2,2] w> { a = MatMul (x, w) y = Gemm <transB = 1> (a, w) }",
        "(float[N,2] x) => (float[N,2] y) <float[2,2] w> { a = Neg (w) y = MatMul (x, a) z = MatMul (x, w) }",
        "(float[2,2] x) => (float[2,2] y) <float[2,2] w> { y = MatMul (w, x) }",
        "(float[2,2,2] x) => (float[2,2,2] y) <float[2,2,2] w> { y = MatMul (x, w) }",
        "(int32[N,2] x) => (int32[N,2] y) <int32[2,2] w> { y = MatMul (x, w) }",
    ],
    ids=["an output", "laid out otherwise", "read by others", "on the left", "no matrix", "integers"],
)
def test_what_is_no_weight(text: str) -> None:
    assert weights_of(parse_model(f"g {text}")) == []


def test_layers_that_share_a_weight_make_one_gram_matrix() -> None:
    model = parse_model("g (float[N,3] x) => (float[N,3] z) <float[3,3] w> { y = MatMul (x, w) z = MatMul (y, w) }")
    (weight,) = weights_of(model)
    assert grams_wanted([weight]) == ["y", "z"]
    grams = collect(model, [{"x": np.eye(3, dtype=np.float32)}], (), ["y", "z"], threads=1).grams
    both = gram_of(weight, grams)
    assert both is not None
    assert both.count == 6
    assert gram_of(weight, {"y": grams["y"]}) is None


@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize("op", ["Conv", "Gemm", "ConvTranspose"])
def test_a_bias_takes_up_a_mean(op: str, bias: str) -> None:
    size = "3" if op == "Gemm" else "3,4,4"
    shape = "3,5" if op != "Conv" else "5,3"
    kernel = "" if op == "Gemm" else ",1,1"
    model = parse_model(
        f"g (float[N,{size}] x) => (float[N,5{size[1:]}] y) <float[{shape}{kernel}] w, float[5] b>"
        f"{{ y = {op} (x, w{bias}) }}"
    )
    node, shift = model.graph[0], np.arange(5.0)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, *map(int, size.split(",")))).astype(np.float32)}
    before = evaluate(model, feeds)["y"]
    assert takes_mean(node, 5)
    shift_mean(node, shift, Names(model))
    verify(model)
    moved = evaluate(model, feeds)["y"] - before
    assert np.moveaxis(moved, 1, -1) == pytest.approx(np.broadcast_to(shift, np.moveaxis(moved, 1, -1).shape), abs=1e-5)


def test_a_bias_of_others_stays() -> None:
    model = parse_model(
        "g (float[N,3] x) => (float[N,3] y, float[N,3] z) <float[3,3] w, float[3] b>"
        "{ y = Gemm (x, w, b) z = Gemm (x, w, b) }"
    )
    held = model.graph.initializers["b"].const_value
    shift_mean(model.graph[0], np.ones(3), Names(model))
    assert model.graph.initializers["b"].const_value is held
    assert [value.name for value in model.graph[1].inputs if value is not None][2] == "b"


@pytest.mark.parametrize("attribute", ["alpha = 2.0", "beta = 0.5"])
def test_what_scales_takes_no_mean(attribute: str) -> None:
    model = parse_model(f"g (float[N,3] x) => (float[N,3] y) <float[3,3] w> {{ y = Gemm <{attribute}> (x, w) }}")
    assert not takes_mean(model.graph[0], 3)
    assert not takes_mean(ir.node("MatMul", [ir.Value(name="x"), ir.Value(name="w")]), 3)
