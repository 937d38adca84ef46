from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.ir.constants import constant
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.quantization.affine import affine_of
from graphopt.quantization.pairing import find_pairing, reorder_inputs
from graphopt.quantization.saturation import (
    INT16,
    INT32,
    SAFE_STEP,
    Interval,
    Sums,
    accumulator_sums,
    fit_pairs,
    pair_sums,
    reduction,
    round_where_safe,
    saturating,
)
from graphopt.tensors import Array
from tests.networks import network

INT8 = np.dtype(np.int8)
EXACT = 2e-6


def conv(group: int = 1) -> ir.Node:
    return ir.node("Conv", [ir.val("x"), ir.val("w")], attributes={"group": group})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), terms=st.integers(1, 6), ends=st.tuples(st.integers(0, 255), st.integers(0, 255)))
def test_pairs_of_products_are_bounded_by_what_every_pair_of_activations_gives(
    seed: int, terms: int, ends: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    activations = Interval(*sorted(ends))
    weight = rng.integers(-128, 128, (2, 3, terms))
    found = pair_sums(weight, activations)
    every = np.arange(activations.least, activations.greatest + 1)
    for channel, row in enumerate(weight.reshape(6, terms)):
        padded = [*row, 0][: terms + terms % 2]
        sums = [
            np.add.outer(first * every, second * every) for first, second in zip(padded[::2], padded[1::2], strict=True)
        ]
        assert found.least[channel] == min(each.min() for each in sums)
        assert found.greatest[channel] == max(each.max() for each in sums)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), terms=st.integers(1, 3), zero_point=st.integers(0, 9), weight_zero=st.integers(-3, 3)
)
def test_sums_are_bounded_by_what_all_activations_give(
    seed: int, terms: int, zero_point: int, weight_zero: int
) -> None:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 10, 2).tolist())
    weight, bias = rng.integers(-8, 8, (1, 2, terms)), rng.integers(-50, 50, 2)
    found = accumulator_sums(weight, Interval(low, high), zero_point, [weight_zero, 0], bias)
    border = 0  # beyond the border of the input, a product is zero
    for channel, zero in enumerate((weight_zero, 0)):
        products = [
            [border, *((x - zero_point) * (int(w) - zero) for x in range(low, high + 1))] for w in weight[0, channel]
        ]
        sums = [sum(each) for each in itertools.product(*products)]
        assert found.least[channel] == min(sums) + bias[channel]
        assert found.greatest[channel] == max(sums) + bias[channel]


def test_the_largest_weights_leave_int16_and_long_sums_leave_int32() -> None:
    largest = np.full((1, 2, 2), 127)
    assert pair_sums(largest).greatest.tolist() == [64770, 64770]
    assert pair_sums(largest).leave(INT16).all()
    assert not pair_sums(largest, Interval(0, 128)).leave(INT16).any()
    assert pair_sums(largest, Interval(0, 130)).leave(INT16).all()
    assert not pair_sums(np.array([[[SAFE_STEP, SAFE_STEP], [-SAFE_STEP, -SAFE_STEP]]])).leave(INT16).any()
    assert Sums(np.array([-32769, -32768]), np.array([0, 0])).leave(INT16).tolist() == [True, False]
    long = np.full((1, 1, 66_312), 127)  # 255·127·66,312 = 2³¹ + 30,472
    assert accumulator_sums(long).leave(INT32).all()
    assert not accumulator_sums(long[..., :-1]).leave(INT32).any()
    assert accumulator_sums(long[..., :-1], bias=2**20).leave(INT32).all()


def test_terms_stand_in_the_order_of_the_kernel() -> None:
    weight = np.arange(2 * 3 * 2).reshape(2, 3, 2).astype(np.int8)  # a tap's channels lie two apart
    assert reduction(conv(), weight)[0, 0].tolist() == [0, 2, 4, 1, 3, 5]
    assert reduction(conv(), weight, block=4)[0, 1].tolist() == [6, 8, 10, 0, 7, 9, 11, 0]
    assert reduction(conv(2), weight, block=2)[1, 0].tolist() == [6, 8, 10, 0, 7, 9, 11, 0]
    transposed = ir.node("ConvTranspose", [ir.val("x"), ir.val("w")])
    assert reduction(transposed, weight)[0, 2].tolist() == [4, 10, 5, 11]
    product = ir.node("MatMul", [ir.val("x"), ir.val("w")])
    assert reduction(product, np.array([[1, 2], [3, 4], [5, 6]]))[0].tolist() == [[1, 3, 5], [2, 4, 6]]
    four_bits = reduction(conv(), weight.clip(-8, 7).astype(ml_dtypes.int4))
    assert four_bits.dtype == np.int64


def heavy(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> Array:
    """Return weights of which about a share is large."""
    weight = rng.normal(0, 12, shape) + np.where(rng.random(shape) < share, rng.choice([-100, 100], shape), 0)
    return np.asarray(np.clip(weight.round(), -127, 127).astype(np.int8))


def test_channels_that_saturate_get_wider_scales_and_no_others() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((16, 8, 3, 3)).astype(np.float32)
    weight[3:9] /= np.abs(weight[3:9]).max((1, 2, 3), keepdims=True) * 10
    weight[3:9, 0, 0, 0] = 1
    largest = np.abs(weight).max((1, 2, 3))
    affine = affine_of(-largest, largest, INT8, symmetric=True, axis=0)
    before = saturating(conv(), affine.quantize(weight))
    assert 0 < before.sum() < 16
    fitted = fit_pairs(conv(), weight, affine)
    assert not saturating(conv(), fitted.quantize(weight)).any()
    assert ((fitted.scale > affine.scale) == before).all()
    assert (fitted.scale <= affine.scale * 127 / 64 * 1.001).all()
    assert (fitted.scale[before] < affine.scale[before] * 1.9).any()
    whole = fit_pairs(conv(), weight, affine_of(-largest.max(), largest.max(), INT8, symmetric=True))
    assert not saturating(conv(), whole.quantize(weight)).any()
    clipping = affine_of(-largest / 9, largest / 9, INT8, symmetric=True, axis=0)
    assert not saturating(conv(), fit_pairs(conv(), weight, clipping).quantize(weight)).any()


def test_other_roundings_stay_where_they_are_safe() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((6, 4)).astype(np.float32)
    node = ir.node("Gemm", [ir.val("x"), ir.val("w")], attributes={"transB": 1})
    largest = np.abs(weight).max(1)
    affine = fit_pairs(node, weight, affine_of(-largest, largest, INT8, symmetric=True, axis=0))
    other = affine.quantize(weight).astype(np.int64)
    other[2] = 127
    other[4] = other[4] + 1 - 2 * (other[4] > 0)
    found = round_where_safe(node, other, weight, affine)
    assert found.dtype == INT8
    assert (found[2] == affine.quantize(weight)[2]).all()
    assert (np.delete(found, 2, 0) == np.delete(other, 2, 0)).all()
    assert not saturating(node, found).any()


@pytest.mark.parametrize(("shape", "group"), [((24, 16, 3, 3), 1), ((8, 32, 3), 1), ((12, 6, 1, 1), 2)])
def test_an_order_of_channels_takes_large_weights_apart(shape: tuple[int, ...], group: int) -> None:
    rng = np.random.default_rng(2)
    weight = heavy(rng, shape, 0.02)
    weight[:, :2] = np.where(np.arange(2).reshape(1, 2, *[1] * (len(shape) - 2)) == 0, 120, 110)  # every filter clashes
    if group == 1:
        weight[:, 2:4] = np.clip(weight[:, 2:4], -5, 5)
    else:
        weight[:, 2:] = np.clip(weight[:, 2:], -5, 5)
    assert saturating(conv(group), weight).all()
    order = find_pairing(conv(group), weight)
    assert order is not None
    rows = shape[0] // group
    permuted = np.concatenate(
        [
            weight[g * rows : (g + 1) * rows, np.array(order[g * shape[1] : (g + 1) * shape[1]]) % shape[1]]
            for g in range(group)
        ]
    )
    assert sorted(order) == list(range(shape[1] * group))
    assert not saturating(conv(group), permuted).any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), channels=st.sampled_from([2, 4, 6]), share=st.floats(0, 0.7))
def test_an_order_that_is_found_is_safe_and_none_is_missed_of_which_all_are(
    seed: int, channels: int, share: float
) -> None:
    weight = heavy(np.random.default_rng(seed), (3, channels, 2), share)
    order = find_pairing(conv(), weight)
    safe = [not saturating(conv(), weight[:, list(each)]).any() for each in itertools.permutations(range(channels))]
    if order is not None:
        assert not saturating(conv(), weight[:, order]).any()
    if all(safe):
        assert order is not None
    if not any(safe):
        assert order is None


def test_there_is_no_order_where_every_channel_is_large_or_one_is_left_over() -> None:
    assert find_pairing(conv(), np.full((2, 4, 1), 100, np.int8)) is None
    assert find_pairing(conv(), np.full((2, 3, 1), 1, np.int8)) is None


REORDERED = {
    "behind": (
        "g (float[1,3,6,6] x) => (float[1,2,6,6] y) <float[4,3,1,1] w, float[4] b, float[2,4,3,3] v, float u = {0.5}>"
        "{ a = Conv (x, w, b) r = Clip (a, , u) y = Conv <pads = [1,1,1,1]> (r, v) }"
    ),
    "through a depthwise one": (
        "g (float[1,3,6,6] x) => (float[1,2,6,6] y) <float[4,3,1,1] w, float[4,1,3,3] d, float[4] c, float[2,4,1,1] v>"
        "{ a = Conv (x, w) r = Sigmoid (a) b = Conv <group = 4, pads = [1,1,1,1]> (r, d, c) s = Relu (b)"
        "  y = Conv (s, v) }"
    ),
    "into groups": (
        "g (float[1,3,6,6] x) => (float[1,2,6,6] y) <float[4,3,1,1] w, float[4] b, float[2,2,3,3] v>"
        "{ a = Conv (x, w, b) y = Conv <group = 2, pads = [1,1,1,1]> (a, v) }"
    ),
    "of products": (
        "g (float[3,5] x) => (float[3,2] y) <float[4,5] w, float[1,4] b, float[4,2] v>"
        "{ a = Gemm <transB = 1> (x, w, b) r = Relu (a) y = MatMul (r, v) }"
    ),
}

LEFT = {
    "made in groups": (
        "g (float[1,4,6] x) => (float[1,2,6] y) <float[4,2,1] w, float[2,4,1] v>"
        "{ a = Conv <group = 2> (x, w) y = Conv (a, v) }"
    ),
    "depthwise from an input": (
        "g (float[1,4,6] x) => (float[1,2,6] y) <float[4,1,1] w, float[2,4,1] v>"
        "{ a = Conv <group = 4> (x, w) y = Conv (a, v) }"
    ),
    "one channel of each two": (
        "g (float[1,3,6] x) => (float[1,2,6] y) <float[8,3,1] u, float[4,2,1] w, float[2,4,1] v>"
        "{ b = Conv (x, u) a = Conv <group = 4> (b, w) y = Conv (a, v) }"
    ),
    "read elsewhere": (
        "g (float[1,3,6] x) => (float[1,2,6] y, float[1,4,6] a) <float[4,3,1] w, float[2,4,1] v>"
        "{ a = Conv (x, w) y = Conv (a, v) }"
    ),
}


@pytest.mark.parametrize("text", REORDERED.values(), ids=list(REORDERED))
def test_channels_change_places_on_both_sides(text: str) -> None:
    model = network(text)
    feeds = random_feeds(model)
    before, weight = evaluate(model, feeds), constant(model.graph.initializers["v"])
    assert weight is not None
    order = [1, 0, 3, 2] if "group = 2" in text else [2, 0, 3, 1]
    assert reorder_inputs(model, {"y": order}) == ["y"]
    verify(model)
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    after = constant(model.graph.initializers["v"])
    assert after is not None
    if "group = 2" in text:
        assert (after == weight[:, [1, 0]]).all()
    else:
        assert (after == (weight[order] if "MatMul" in text else weight[:, order])).all()


def test_the_columns_of_a_flattened_channel_stay_together() -> None:
    model = network(
        "g (float[1,3,6] x) => (float[1,2] y) <float[4,3,1] w, float[24,2] v>"
        "{ a = Conv (x, w) f = Flatten (a) y = MatMul (f, v) }"
    )
    feeds = random_feeds(model)
    before, weight = evaluate(model, feeds), constant(model.graph.initializers["v"])
    assert weight is not None
    assert reorder_inputs(model, {"y": [2, 0, 3, 1]}) == ["y"]
    assert differences(before, evaluate(model, feeds))[0].error < EXACT
    after = constant(model.graph.initializers["v"])
    assert after is not None
    assert (after.reshape(4, 12) == weight.reshape(4, 12)[[2, 0, 3, 1]]).all()


@pytest.mark.parametrize("text", LEFT.values(), ids=list(LEFT))
def test_channels_that_are_bound_stay(text: str) -> None:
    model = network(text)
    held = {name: constant(value) for name, value in model.graph.initializers.items()}
    assert reorder_inputs(model, {"y": [2, 0, 3, 1]}) == []
    assert all(constant(model.graph.initializers[name]) is array for name, array in held.items())


def test_an_order_of_other_channels_or_across_groups_is_not_taken() -> None:
    assert reorder_inputs(network(REORDERED["into groups"]), {"y": [2, 0, 3, 1]}) == []
    assert reorder_inputs(network(REORDERED["behind"]), {"y": [0, 1], "z": [0, 1, 2, 3]}) == []
