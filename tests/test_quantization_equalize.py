from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.errors import CalibrationError
from graphopt.ir.constants import constant
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.quantization.absorb import Moments, absorb_biases, output_moments
from graphopt.quantization.chains import Layer, find_chains
from graphopt.quantization.equalize import channel_widths, equalize, migrate_scales, open_clips
from graphopt.tensors import Array
from tests.networks import network

EXACT = 3e-6  # float32 rounds a weight, and what is divided by it, once more

CHAINS = {
    "convolutions": (
        "g (float[2,3,8,8] x) => (float[2,5,6,6] y) <float[4,3,3,3] w, float[4] b, float[5,4,3,3] v, float[5] c>"
        "{ a = Conv <pads = [1,1,1,1]> (x, w, b) r = Relu (a) y = Conv (r, v, c) }"
    ),
    "one after another without bias": (
        "g (float[2,3,5] x) => (float[2,5,5] y) <float[4,3,1] w, float[4,4,3] v, float[5,4,1] u>"
        "{ a = Conv (x, w) b = Identity (a) c = Conv <pads = [1,1]> (b, v) y = Conv (c, u) }"
    ),
    "depthwise between": (
        "g (float[1,3,6,6] x) => (float[1,2,6,6] y) <float[4,3,1,1] w, float[8,1,3,3] v, float[8] c, float[2,8,1,1] u>"
        "{ a = Conv (x, w) b = Relu (a) d = Conv <group = 4, pads = [1,1,1,1]> (b, v, c)"
        "  e = LeakyRelu <alpha = 0.1> (d) y = Conv (e, u) }"
    ),
    "groups of different sizes": (
        "g (float[1,4,6,6] x) => (float[1,6,6,6] y) <float[12,2,1,1] w, float[12] b, float[6,4,1,1] v>"
        "{ a = Conv <group = 2> (x, w, b) r = Relu (a) y = Conv <group = 3> (r, v) }"
    ),
    "three dimensions and a pool": (
        "g (float[1,2,4,4,4] x) => (float[1,3,1,1,1] y) <float[4,2,1,1,1] w, float[4,1,1,1] s, float[3,4,2,2,2] v>"
        "{ a = Conv (x, w) r = PRelu (a, s) p = MaxPool <kernel_shape = [2,2,2], strides = [2,2,2]> (r)"
        "  y = Conv (p, v) }"
    ),
    "transposed": (
        "g (float[1,4,5,5] x) => (float[1,4,20,20] y) <float[4,3,2,2] w, float[6] b, float[6,2,2,2] v, float[4] c>"
        "{ a = ConvTranspose <group = 2, strides = [2,2]> (x, w, b) r = Relu (a)"
        "  y = ConvTranspose <group = 2, strides = [2,2]> (r, v, c) }"
    ),
    "a classifier": (
        "g (float[2,3,4,4] x) => (float[2,5] y) <float[6,3,1,1] w, float[6] b, float[6,5] v, float[5] c>"
        "{ a = Conv (x, w, b) r = Relu (a) p = GlobalAveragePool (r) f = Flatten (p) y = Gemm (f, v, c) }"
    ),
    "all of a picture flattened": (
        "g (float[2,3,4,4] x) => (float[2,5] y) <float[6,3,1,1] w, float[96,5] v>"
        "{ a = Conv (x, w) r = Relu (a) f = Flatten (r) y = MatMul (f, v) }"
    ),
    "products": (
        "g (float[3,7] x) => (float[3,4] y) <float[6,7] w, float[1] b, float[6,5] v, float[3,5] c, float[5,4] u>"
        "{ a = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, b) r = Relu (a) d = Gemm (r, v, c) y = MatMul (d, u) }"
    ),
    "products of tensors": (
        "g (float[2,3,7] x) => (float[2,3,5] y) <float[7,6] w, float[6,5] v>"
        "{ a = MatMul (x, w) r = Relu (a) y = MatMul (r, v) }"
    ),
}

REFUSED = {
    "two readers": (
        "g (float[1,2,4] x) => (float[1,2,4] y) <float[2,2,1] w, float[2,2,1] v>"
        "{ a = Conv (x, w) r = Relu (a) c = Conv (r, v) y = Add (c, r) }"
    ),
    "an output between": (
        "g (float[1,2,4] x) => (float[1,2,4] y, float[1,2,4] r) <float[2,2,1] w, float[2,2,1] v>"
        "{ a = Conv (x, w) r = Relu (a) y = Conv (r, v) }"
    ),
    "a bound": (
        "g (float[1,2,4] x) => (float[1,2,4] y) <float[2,2,1] w, float[2,2,1] v, float l = {0.0}, float u = {6.0}>"
        "{ a = Conv (x, w) r = Clip (a, l, u) y = Conv (r, v) }"
    ),
    "a curve": (
        "g (float[1,2,4] x) => (float[1,2,4] y) <float[2,2,1] w, float[2,2,1] v>"
        "{ a = Conv (x, w) r = Sigmoid (a) y = Conv (r, v) }"
    ),
    "a weight that is computed": (
        "g (float[1,2,4] x, float[2,2,1] w) => (float[1,2,4] y) <float[2,2,1] v> { a = Conv (x, w) y = Conv (a, v) }"
    ),
    "the value as a weight": (
        "g (float[1,2,2] x, float[1,2,2] z) => (float[1,1,2] y) <float[2,2,1] w> { a = Conv (x, w) y = Conv (z, a) }"
    ),
    "channels on another axis": (
        "g (float[1,2,4] x) => (float[1,2,5] y) <float[2,2,1] w, float[4,5] v> { a = Conv (x, w) y = MatMul (a, v) }"
    ),
    "a pool over the channels": (
        "g (float[1,2,4,7] x) => (float[1,2,2,5] y) <float[7,6] w, float[3,5] v>"
        "{ a = MatMul (x, w) p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a) y = MatMul (p, v) }"
    ),
    "channels as rows": (
        "g (float[4,7] x) => (float[6,5] y) <float[7,6] w, float[4,5] v>"
        "{ a = MatMul (x, w) y = Gemm <transA = 1> (a, v) }"
    ),
    "rows that no group divides": (
        "g (float[1,2,4] x) => (float[1,3,4] y) <float[2,2,1] w, float[3,1,1] v>"
        "{ a = Conv (x, w) y = Conv <group = 2> (a, v) }"
    ),
    "another type": (
        "g (double[1,2,4] x) => (double[1,2,4] y) <double[2,2,1] w, double[2,2,1] v>{ a = Conv (x, w) y = Conv (a, v) }"
    ),
}


def uneven(text: str) -> ir.Model:
    """Parse a network, its weights' channels up to a thousand times as wide as others."""
    model = network(text)
    rng = np.random.default_rng(1)
    for value in model.graph.initializers.values():
        if value.shape is not None and len(value.shape) > 1:
            array = constant(value)
            assert array is not None
            wide = 10 ** rng.uniform(-1.5, 1.5, (array.shape[0], *[1] * (array.ndim - 1)))
            value.const_value = ir.tensor((array * wide).astype(array.dtype), name=value.name)
    return model


def widths(model: ir.Model) -> list[tuple[Array, Array]]:
    return [
        (np.abs(chain.first.rows).max(-1).ravel(), np.abs(chain.second.by_inputs(chain.channels)).max((1, 3)).ravel())
        for chain in find_chains(model, {"Relu", "Identity", "LeakyRelu", "PRelu", "GlobalAveragePool", "MaxPool"})
    ]


def spread(values: Array) -> float:
    return float(values.max() / values.min())


@pytest.mark.parametrize("text", CHAINS.values(), ids=list(CHAINS))
def test_both_sides_become_equally_wide_and_answers_stay(text: str) -> None:
    model = uneven(text)
    feeds = random_feeds(model)
    before = evaluate(model, feeds)
    assert equalize(model) == len(widths(model)) > 0
    verify(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    for made, read in widths(model):
        np.testing.assert_allclose(made, read, rtol=5e-3)
    assert equalize(model) == 0


@pytest.mark.parametrize("text", REFUSED.values(), ids=list(REFUSED))
def test_where_channels_are_not_the_chains_own_nothing_changes(text: str) -> None:
    model = uneven(text)
    assert equalize(model) == 0
    assert migrate_scales(model, {"r": np.ones(2)}) == 0


def test_channels_that_are_zero_stay() -> None:
    model = uneven(CHAINS["convolutions"])
    first, second = (chain := find_chains(model, {"Relu"})[0]).first, chain.second
    first.rows[0, 0] = 0
    second.rows.reshape(1, 5, 4, 9)[:, :, 1] = 0
    from graphopt.ir.edit import Names

    first.store(Names(model))
    second.store(Names(model))
    feeds = random_feeds(model)
    before = evaluate(model, feeds)
    assert equalize(model) == 1
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    made, read = widths(model)[0]
    np.testing.assert_allclose(made[2:], read[2:], rtol=5e-3)
    assert made[0] == 0
    assert read[1] == 0


def test_a_weight_that_another_node_reads_stays_for_that_one() -> None:
    model = uneven(
        "g (float[1,3,4] x) => (float[1,3,4] y, float[1,3,4] z) <float[3,3,1] w, float[3] b>"
        "{ a = Conv (x, w, b) r = Relu (a) y = Conv (r, w, b) z = Conv (x, w, b) }"
    )
    feeds = random_feeds(model)
    before, shared = evaluate(model, feeds), constant(model.graph.initializers["w"])
    assert equalize(model) == 1
    verify(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    assert constant(model.graph.initializers["w"]) is shared
    assert sorted(model.graph.initializers) == ["b", "b_1", "b_2", "w", "w_1", "w_2"]


def test_scales_move_from_activations_to_weights() -> None:
    model = uneven(CHAINS["depthwise between"])
    feeds = random_feeds(model)
    before = evaluate(model, feeds)
    wide = {"e": np.array([0, 1e-3, 0.1, 1, 10, 100, 1, 1])}
    _, read = widths(model)[1]
    assert migrate_scales(model, wide, 0.75) == 1
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    _, after = widths(model)[1]
    scale = np.where(wide["e"] > 0, wide["e"] ** 0.75 / read**0.25, 1)
    np.testing.assert_allclose(after, read * scale, rtol=1e-5)
    with pytest.raises(CalibrationError, match="3 widths are given for the 8 channels of 'e'; measure them"):
        migrate_scales(model, {"e": np.ones(3)})


def test_the_width_of_a_channel_is_that_of_its_taps_together() -> None:
    assert channel_widths(np.array([[1.0, 4.0, 4.0, 9.0, 16.0, 25.0]]), 2) == pytest.approx(np.sqrt([3, 50 / 3]))
    assert channel_widths(np.array([[1.0], [4.0]]), 2).tolist() == [1, 2]


def test_a_bound_goes_only_where_it_is_named() -> None:
    model = uneven(REFUSED["a bound"])
    feeds = {"x": 1e-3 * random_feeds(model)["x"]}
    before = evaluate(model, feeds)
    assert open_clips(model, ["r"]) == 1
    verify(model)
    assert equalize(model) == 1
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    old = network("g (float[2] x) => (float[2] y) { y = Clip <min = 0.0, max = 6.0> (x) }")
    old.graph.opset_imports[""] = 10
    assert open_clips(old, ["y"]) == 1
    verify(old)
    with pytest.raises(CalibrationError, match="'y' cannot be unbounded: no Clip makes it; name outputs of Clips"):
        open_clips(model, ["y"])
    text = "g (float[2] x) => (float[2] y) <float l = {-1.0}> { y = Clip (x, l) }"
    with pytest.raises(CalibrationError, match=r"Clip \(-> y\) is not one from 0;"):
        open_clips(network(text), ["y"])


ABSORBING = (
    "g (float[64,3,8,8] x) => (float[64,6,6,6] y) <float[4,3,1,1] w, float[4] b, float[6,2,3,3] v>"
    "{{ a = Conv (x, w, b) r = {} (a) y = Conv <group = {}{}> (r, v) }}"
)


def moments_of(model: ir.Model, x: Array) -> Moments:
    columns = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]).astype(np.float64)
    layer = Layer.of(next(iter(model.graph)))
    assert layer is not None
    return output_moments(layer, (columns.T @ columns / len(columns))[None], columns.mean(0)[None])


def with_biases(operator: str, padding: str = "") -> ir.Model:
    model = network(ABSORBING.format(operator, 2, padding))
    bias = np.array([100, 0.1, 20, -100], np.float32)
    model.graph.initializers["b"].const_value = ir.tensor(bias, name="b")
    return model


@pytest.mark.parametrize(
    ("operator", "absorbed"), [("Relu", [True, False, True, False]), ("Identity", [True, False, True, True])]
)
def test_what_a_channel_always_has_goes_into_the_next_bias(operator: str, absorbed: list[bool]) -> None:
    model = with_biases(operator)
    feeds = random_feeds(model)
    moments = moments_of(model, feeds["x"])
    made = evaluate(
        network("g (float[64,3,8,8] x) => (float[64,4,8,8] a) <float[4,3,1,1] w> { a = Conv (x, w) }"), feeds
    )
    np.testing.assert_allclose(moments.deviation, made["a"].std((0, 2, 3)), rtol=1e-5)
    before = evaluate(model, feeds)
    assert absorb_biases(model, {"a": moments}, 6.0) == 1
    verify(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    bias = constant(model.graph.initializers["b"])
    assert (np.abs(bias - [100, 0.1, 20, -100]) > 1).tolist() == absorbed
    assert absorb_biases(model, {"other": moments}) == 0


def test_a_border_of_zeros_absorbs_nothing() -> None:
    for padding in (", pads = [1,1,1,1]", ', auto_pad = "SAME_UPPER"'):
        model = network(ABSORBING.replace("6,6] y", "8,8] y").format("Relu", 2, padding))
        assert absorb_biases(model, {"a": Moments(np.full(4, 9.0), np.zeros(4))}) == 0
    product = network(
        "g (float[3,7] x) => (float[3,4] y) <float[7,6] w, float[6,4] v>"
        "{ a = Gemm (x, w) r = Relu (a) y = MatMul (r, v) }"
    )
    assert absorb_biases(product, {"a": Moments(np.full(6, 9.0), np.zeros(6))}) == 0
