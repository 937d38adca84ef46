from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.ir.constants import constant
from graphopt.ir.edit import Names
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.quantization.chains import find_chains
from graphopt.quantization.equalize import equalize
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
    "a bias of other channels": (
        "g (float[1,2,4] x) => (float[1,2,4] y) <float[2,2,1] w, float[4] b, float[2,2,1] v>"
        "{ a = Conv (x, w, b) y = Conv (a, v) }"
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
    assert len(equalize(model)) == len(widths(model)) > 0
    verify(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    for made, read in widths(model):
        np.testing.assert_allclose(made, read, rtol=5e-3)
    assert equalize(model) == []


@pytest.mark.parametrize("seed", range(12))
def test_a_chain_that_hardly_moves_moves_on_both_sides(seed: int) -> None:
    model = uneven(CHAINS["one after another without bias"])
    equalize(model)
    rng, names = np.random.default_rng(seed), Names(model)
    for chain in find_chains(model, {"Identity"}):
        chain.first.rows *= np.exp(rng.normal(0, 1e-3, chain.first.rows.shape))
        chain.first.store(names)
    feeds = random_feeds(model)
    before = evaluate(model, feeds)
    equalize(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT


@pytest.mark.parametrize("text", REFUSED.values(), ids=list(REFUSED))
def test_where_channels_are_not_the_chains_own_nothing_changes(text: str) -> None:
    model = uneven(text)
    assert equalize(model) == []


def test_channels_that_are_zero_stay() -> None:
    model = uneven(CHAINS["convolutions"])
    first, second = (chain := find_chains(model, {"Relu"})[0]).first, chain.second
    first.rows[0, 0] = 0
    second.rows.reshape(1, 5, 4, 9)[:, :, 1] = 0
    first.store(Names(model))
    second.store(Names(model))
    feeds = random_feeds(model)
    before = evaluate(model, feeds)
    assert len(equalize(model)) == 1
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
    assert len(equalize(model)) == 1
    verify(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    assert constant(model.graph.initializers["w"]) is shared
    assert sorted(model.graph.initializers) == ["b", "b_1", "b_2", "w", "w_1", "w_2"]
