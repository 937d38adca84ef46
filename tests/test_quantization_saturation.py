from __future__ import annotations

import dataclasses
import itertools

import ml_dtypes
import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate, random_feeds, reference_session
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.quantization.affine import affine_of
from graphopt.quantization.decide import decide
from graphopt.quantization.emit import emit
from graphopt.quantization.emit.constants import bias_affine
from graphopt.quantization.plan import Plan
from graphopt.quantization.saturation import (
    INT16,
    INT32,
    SAFE_STEP,
    Interval,
    Sums,
    accumulator_sums,
    pair_sums,
    reduction,
    saturating,
)
from graphopt.quantization.scheme import SCHEMES
from graphopt.quantization.selection import select
from graphopt.quantization.unsaturate import fit_pairs, round_where_safe, without_saturation
from graphopt.tensors import Array
from tests.networks import network

INT8 = np.dtype(np.int8)


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


def test_no_sum_of_a_plan_leaves_int32_however_faint_a_channel_and_large_its_bias() -> None:
    model = network(
        "g (float[1,3,6,6] x) => (float[1,4,6,6] y) <float[4,3,3,3] w, float[4] b = {-0.3, 5.0, -5.0, 0.1}>"
        "{ a = Conv <pads = [1,1,1,1]> (x, w, b) y = Relu (a) }"
    )
    infer_shapes(model)
    value = model.graph.initializers["w"]
    weight = constant(value)
    assert weight is not None
    weight = (weight * np.array([1e-6, 1e-7, 1e-9, 1]).reshape(4, 1, 1, 1)).astype(np.float32)
    value.const_value = ir.tensor(weight, name="w")
    plan = decide(select(model, SCHEMES["x64"]), {"x": (-3.0, 3.0), "y": (0.0, 6.0)}, SCHEMES["x64"])
    affine, activation = plan.weights["w"], plan.values["x"]
    bias = bias_affine(activation, affine).quantize(np.array([-0.3, 5, -5, 0.1], np.float32))
    terms = reduction(model.graph[0], affine.quantize(weight))
    for zero_point in (0, int(activation.zero_point)):  # kernels sum up with and without it
        assert not accumulator_sums(terms, zero_point=zero_point, bias=bias).leave(INT32).any()
    feeds = random_feeds(model)
    expected = evaluate(model, feeds)["y"]
    emit(model, plan, "x64")
    found = reference_session(model, optimize=True).run(feeds)["y"]
    assert np.abs(found - expected)[:, :3].max() < 0.03


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
    outward = fitted.quantize(weight).astype(np.int64)
    outward += np.where(np.abs(outward) < SAFE_STEP, np.sign(outward), 0)
    assert not saturating(conv(), outward)[before].any()
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


def test_only_what_may_saturate_is_mended_in_a_plan() -> None:
    model = network(
        "g (float[1,4,6,6] x) => (float[1,6,6,6] y)"
        "<float[6,4,1,1] w, float[6,1,3,3] d, float[6,6,1,1] v, float[6,6,1,1] u, float[6,6,1,1] t>"
        "{ a = Conv (x, w) b = Conv <group = 6, pads = [1,1,1,1]> (a, d) c = Conv (b, v) e = Conv (c, u)"
        "  f = Conv (e, u) y = Conv (f, t) }"
    )
    infer_shapes(model)
    faint = np.full((6, 6, 1, 1), 0.3, np.float32)
    faint[:, 0] = 1  # 127 + 38 is too much, but each channel on its own has room beside
    model.graph.initializers["v"].const_value = ir.tensor(faint, name="v")
    model.graph.initializers["t"].const_value = ir.tensor(np.eye(6, dtype=np.float32)[..., None, None], name="t")
    selection = select(model, SCHEMES["x64"])
    plan = decide(selection, {str(value.name): (-3.0, 3.0) for value in selection.sources}, SCHEMES["x64"])
    products = {str(node.inputs[1].name): node for node in model.graph}

    def nearest(plan: Plan, name: str) -> Array:
        return plan.weights[name].quantize(constant(model.graph.initializers[name]))

    mended = without_saturation(model, plan)
    assert saturating(products["v"], nearest(plan, "v")).all()
    for name in "wvt":
        assert not saturating(products[name], nearest(mended, name)).any()
    assert (mended.weights["v"].scale > plan.weights["v"].scale).all()
    for name in "dut":  # depthwise, shared, and one that fits
        assert mended.weights[name] is plan.weights[name]
    assert without_saturation(model, mended) == mended

    other = nearest(mended, "v").copy()
    other[2] = 127
    other[3, 5] += 1
    rounded = without_saturation(model, dataclasses.replace(mended, integers={"v": other}))
    assert (rounded.integers["v"][2] == nearest(mended, "v")[2]).all()
    assert (np.delete(rounded.integers["v"], 2, 0) == np.delete(other, 2, 0)).all()
    late = without_saturation(model, dataclasses.replace(plan, integers={"v": nearest(plan, "v")}))
    assert (late.integers["v"] == nearest(mended, "v")).all()
    signed = decide(select(model, SCHEMES["tensorrt"]), dict.fromkeys("xabcefy", (-3.0, 3.0)), SCHEMES["tensorrt"])
    assert without_saturation(model, signed) == signed
