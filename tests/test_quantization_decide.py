"""What computes in integers, which values share parameters, and what a plan holds then."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.calibration.collect import collect
from graphopt.errors import TargetError
from graphopt.ir.constants import constant
from graphopt.quantization.biases import bias_of
from graphopt.quantization.contest import best_ranges, trials
from graphopt.quantization.decide import decide
from graphopt.quantization.plan import Plan
from graphopt.quantization.refine import measurable, refine
from graphopt.quantization.rounding import quadratic_error
from graphopt.quantization.rows import to_rows
from graphopt.quantization.scheme import SCHEMES, Scheme, parse_scheme
from graphopt.quantization.selection import select
from graphopt.quantization.sharing import shared_ranges
from tests.test_quantization_emit import AWKWARD, CONV, inferred


def refusals(text: str, scheme: str = "x64") -> dict[str, str]:
    return select(inferred(text), parse_scheme(scheme)).refusals


def chosen(text: str, scheme: str = "x64") -> list[str]:
    return [str(node.outputs[0].name) for node in select(inferred(text), parse_scheme(scheme)).nodes]


def plan_of(text: str, ranges: Mapping[str, tuple[float, float]], scheme: Scheme = SCHEMES["x64"]) -> Plan:
    return decide(select(inferred(text), scheme), ranges, scheme)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("g (float[4,4] x, float[4,4] v) => (float[4,4] y) { y = MatMul (x, v) }", "its weight is no constant"),
        ("g (float[4,4] x) => (float[2,4,4] y) <float[2,4,4] w> { y = MatMul (x, w) }", "its weight is no matrix"),
        ("g (float16[4,4] x) => (float16[4,4] y) <float16[4,4] w> { y = MatMul (x, w) }", "'x' is not float32"),
        (
            "g (float[4,4] x) => (float[4,4] y) <float[4,4] w> { y = Gemm <alpha = 2.0> (x, w) }",
            "it scales or transposes what it multiplies",
        ),
        ("g (float[4,4] x) => (float[4,4] y) <float[4,4] w, float b> { y = Gemm (x, w, b) }", "one element a channel"),
        ("g (float[4,4] x) => (float[4,4] y) <float[4,4] w> { y = MatMul (w, x) }", "its input 'w' is constant"),
        ("g (float[4,4] x) => (float[4,4] y) { y = Tanh (x) }", "Tanh has no integers there"),
        ("g (float[4,4] x) => (float[4,4] y) { y = Sigmoid (x) }", "what it reads is no integer there"),
    ],
)
def test_a_node_that_stays_says_why(text: str, reason: str) -> None:
    ((_, found),) = refusals(text).items()
    assert reason in found


def test_a_weight_that_is_not_finite_stays() -> None:
    model = inferred(CONV)
    weight = model.graph.initializers["w"]
    weight.const_value = ir.tensor(np.full((4, 3, 3, 3), np.nan, np.float32))
    assert select(model, SCHEMES["x64"]).refusals["Conv (-> c)"] == "its weight is not finite"


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("residual", ["c", "r", "d", "s", "t", "y"]),
        ("a branch", ["c", "y"]),
        ("a float that is an output and read by a layer", ["y"]),
        ("pools, pairs and maps", ["c", "l", "p", "s", "g", "e", "d", "f", "y"]),
        ("moves", ["c", "p", "s", "u", "t", "q", "a", "r", "k", "e", "y"]),
    ],
)
def test_integers_reach_what_takes_them(name: str, nodes: list[str]) -> None:
    assert chosen(AWKWARD[name]) == nodes


def test_nothing_is_rounded_for_nothing() -> None:
    text = """
g (float[N,4,8,8] x) => (float[N,4,8,8] y)
<float[4,4,1,1] w>
{ c = Conv (x, w)
  y = Sigmoid (c) }"""
    assert chosen(text) == ["c"]


def test_the_last_product_keeps_its_sums() -> None:
    plan = plan_of("g (float[N,4] x) => (float[N,4] y) <float[4,4] w> { y = MatMul (x, w) }", {"x": (-1, 1)})
    assert set(plan.values) == {"x"}


def test_moves_share_the_parameters_of_what_they_move() -> None:
    selection = select(inferred(AWKWARD["moves"]), SCHEMES["x64"])
    assert [value.name for value in selection.sources] == ["x", "c"]
    plan = decide(selection, {"x": (-1, 1), "c": (-3, 5)}, SCHEMES["x64"])
    assert {plan.values[name] for name in "cpsutqabrke"} == {plan.values["c"]}
    assert plan.values["x"] != plan.values["c"]


@pytest.mark.parametrize(("second", "shared"), [((-1.0, 1.0), True), ((-0.6, 0.6), True), ((-0.4, 0.4), False)])
def test_a_concat_shares_unless_that_costs_a_bit(second: tuple[float, float], shared: bool) -> None:
    plan = plan_of(AWKWARD["concat of branches"], {"x": (-1, 1), "a": (-1, 1), "b": second, "y": (-1, 1)})
    assert plan.values["a"] == plan.values["k"]
    assert (plan.values["b"] == plan.values["k"]) is shared


def test_a_concat_does_not_share_beyond_a_clamp() -> None:
    text = AWKWARD["concat of branches"].replace("b = Conv (a, w)", "f = Conv (a, w)\n  b = Relu (f)")
    ranges = {"x": (-1.0, 1.0), "a": (-1.0, 1.0), "b": (0.0, 2.0), "y": (-1.0, 1.0)}
    plan = plan_of(text, ranges)
    assert plan.values["b"] != plan.values["k"]
    assert plan.values["b"].interval()[0] == 0
    selection = select(inferred(text), SCHEMES["x64"])
    widths = {value.name: one.width for value, one in shared_ranges(selection, ranges).items()}
    assert (widths["k"], widths["b"]) == (3, 2)


def test_a_weight_has_a_scale_for_each_channel() -> None:
    model = inferred(CONV)
    ranges = {"x": (-1.0, 1.0), "y": (0.0, 1.0)}
    weight = np.abs(constant(model.graph.initializers["w"])).reshape(4, -1).max(1)
    plan = plan_of(CONV, ranges)
    np.testing.assert_allclose(plan.weights["w"].scale, weight / 127, rtol=1e-6)
    whole = plan_of(CONV, ranges, parse_scheme("x64{per-channel=false}"))
    np.testing.assert_allclose(whole.weights["w"].scale, weight.max() / 127, rtol=1e-6)


def test_a_weight_read_along_two_axes_has_one_scale() -> None:
    plan = plan_of(AWKWARD["one matrix read both ways"], {"x": (-1, 1), "c": (-1, 1)})
    assert plan.weights["w"].axis is None


def test_a_large_bias_fits_an_int32() -> None:
    model = inferred(CONV)
    model.graph.initializers["w"].const_value = ir.tensor(np.full((4, 3, 3, 3), 1e-6, np.float32))
    model.graph.initializers["b"].const_value = ir.tensor(np.full(4, 100.0, np.float32))
    plan = decide(select(model, SCHEMES["x64"]), {"x": (-1, 1), "y": (0, 100)}, SCHEMES["x64"])
    step = plan.values["x"].scale.astype(np.float64) * plan.weights["w"].scale
    assert (100 / step < 2**31).all()


def test_a_channel_of_zeros_has_a_scale() -> None:
    model = inferred(CONV)
    weight = constant(model.graph.initializers["w"]).copy()
    weight[1] = 0
    model.graph.initializers["w"].const_value = ir.tensor(weight)
    plan = decide(select(model, SCHEMES["x64"]), {"x": (-1, 1), "y": (0, 1)}, SCHEMES["x64"])
    assert (plan.weights["w"].scale > 0).all()
    assert not plan.weights["w"].round_trip(weight)[1].any()


def test_fitted_weights_and_biases_cost_the_outputs_less() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((3, 3)).astype(np.float32)
    feeds = [{"x": np.einsum("ij,njhw->nihw", mixing, rng.random((8, 3, 8, 8), np.float32) + 1)} for _ in range(4)]
    model, scheme = inferred(CONV, 21), parse_scheme("x64{weights=int4}")
    selection = select(model, scheme)
    assert measurable(selection) == ["c"]
    grams = collect(model, feeds, [], ["c"]).grams
    nearest = decide(selection, {"x": (-9, 9), "y": (0, 9)}, scheme)
    fitted = refine(nearest, selection, grams, scheme)
    (node,) = selection.products
    weight = constant(node.inputs[1])

    def lost(plan: Plan) -> np.ndarray:
        integers = plan.integers.get("w", plan.weights["w"].quantize(weight))
        return to_rows(node, weight.astype(np.float64) - plan.weights["w"].dequantize(integers))

    mean = grams["c"].mean
    covariance = grams["c"].moment - mean[:, :, None] * mean[:, None, :]
    after, before = (quadratic_error(lost(plan), covariance).sum() for plan in (fitted, nearest))
    assert after < 0.7 * before
    correction = fitted.biases["b"] - bias_of(node)
    np.testing.assert_allclose(correction, (lost(fitted) @ mean[:, :, None]).ravel(), rtol=1e-4, atol=1e-5)


def test_chance_is_not_fitted() -> None:
    model, scheme = (
        inferred("g (float[N,64] x) => (float[N,8] y) <float[64,8] w, float[8] b> { y = Gemm (x, w, b) }"),
        SCHEMES["x64"],
    )
    selection = select(model, scheme)
    rng = np.random.default_rng(1)
    nearest = decide(selection, {"x": (-4, 4)}, scheme)
    weight = constant(model.graph.initializers["w"])

    def lost(columns: int) -> float:
        """Return the error on all inputs, all alike, of what was fitted to some, over that of rounding to nearest."""
        grams = collect(model, [{"x": rng.standard_normal((columns, 64), np.float32)}], [], ["y"]).grams
        fitted = refine(nearest, selection, grams, scheme).integers["w"]
        errors = (
            weight - nearest.weights["w"].dequantize(one) for one in (fitted, nearest.weights["w"].quantize(weight))
        )
        after, before = (float(np.square(one).sum()) for one in errors)
        return after / before

    assert lost(4) < 1.1
    assert lost(4096) < 1.1


def test_the_best_of_several_ways_to_choose_ranges_is_found_stretch_by_stretch() -> None:
    names = [f"t{index}" for index in range(16)]
    wanted = {name: (0.0, float(index % 8 < 4) + 1) for index, name in enumerate(names)}
    candidates = {
        "narrow": dict.fromkeys(names, (0.0, 1.0)),
        "wide": dict.fromkeys(names, (0.0, 2.0)),
    }
    calls = 0

    def error(ranges: Mapping[str, tuple[float, float]]) -> float:
        nonlocal calls
        calls += 1
        return sum(ranges[name] != wanted[name] for name in names)

    best, least = best_ranges(candidates, error)
    assert (best, least) == (wanted, 0)
    assert calls == trials(2, 16)


@pytest.mark.parametrize(
    "text", [*SCHEMES, "x64{weights=int16}", "tensorrt{per-channel=false}", "weights-int4{per-channel=false}"]
)
def test_the_text_of_a_scheme_reads_back(text: str) -> None:
    scheme = parse_scheme(text)
    assert parse_scheme(str(scheme)) == scheme
    if text in SCHEMES:
        assert str(scheme) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x46", "unknown scheme 'x46' .did you mean 'x64'"),
        ("x64{", "cannot read scheme"),
        ("x64{weigths=int8}", "has no option 'weigths' .did you mean 'weights'"),
        ("x64{weights=int5}", "option weights=int5 of scheme 'x64' must be int8|int4|int16"),
        ("x64{symmetric=yes}", "must be true|false"),
    ],
)
def test_a_wrong_scheme_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        parse_scheme(text)
