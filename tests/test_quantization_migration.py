"""Moving scale from activations into weights: the same answers in floats, better ones in integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.calibration.collect import collect
from graphopt.calibration.statistics import Statistics
from graphopt.errors import CalibrationError
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.quantization.affine import Reals
from graphopt.quantization.emit import emit
from graphopt.quantization.migration import divisors, migrate
from graphopt.quantization.plan import Plan
from graphopt.quantization.refine import measurable
from graphopt.quantization.scheme import SCHEMES
from graphopt.quantization.selection import select
from graphopt.tensors import Array
from tests.test_quantization_emit import error, inferred, planned

EXACT = 3e-6  # float32 rounds a weight, and what is divided by it, once more

DEPTHWISE = "float[6,3,1,1] w, float[6] b, float[6,1,3,3] v, float[6] c"
HEAD = f"g (float[N,3,8,8] x) => (float[N,6,8,8] y) <{DEPTHWISE}, float a, float[1] s, float[6,1,1] m>"

MOVING = {
    "a gate, by a product": "d = Conv (x, w, b)  e = HardSwish (d)  y = Conv <group=6, pads=[1,1,1,1]> (e, v, c)",
    "a layer": "e = Conv (x, w, b)  y = Conv <group=6, pads=[1,1,1,1]> (e, v, c)",
    "a layer through a clamp at zero": (
        "d = Conv (x, w, b)  e = Relu (d)  y = Conv <group=6, pads=[1,1,1,1]> (e, v, c)"
    ),
    "a factor and a summand": (
        "d = Conv (x, w, b)  h = HardSwish (d)  f = Mul (a, h)  e = Add (f, s)"
        "  y = Conv <group=6, pads=[1,1,1,1]> (e, v, c)"
    ),
    "a summand and a layer": (
        "d = Conv (x, w)  e = Add (d, m)  y = Conv <group=6, pads=[1,1,1,1]> (e, v, c)"
    ),
}  # fmt: skip
STAYING = {
    "two readers": "e = Conv (x, w, b)  f = Conv <group=6, pads=[1,1,1,1]> (e, v, c)  y = Add (e, f)",
    "a weight that two share": (
        "e = Conv (x, w, b)  f = Conv <group=6, pads=[1,1,1,1]> (e, v, c)"
        "  h = Tanh (f)  y = Conv <group=6, pads=[1,1,1,1]> (h, v, c)"
    ),
    "no layer before": "e = Concat <axis=1> (x, x)  y = Conv <group=6, pads=[1,1,1,1]> (e, v, c)",
}


def uneven(text: str, *, opset: int = 14) -> ir.Model:
    """Return a model whose first layer makes channels of widths from 1 to 1,000, which the second takes back."""
    model = inferred(f"{HEAD} {{ {text} }}", opset)
    widths = np.geomspace(1, 1000, 6, dtype=np.float32).reshape(-1, 1, 1, 1)
    for name, factor in (("w", widths), ("b", widths.ravel()), ("m", widths[:, :, :, 0]), ("v", 1 / widths)):
        put(model, name, array_of(model, name) * factor)
    put(model, "a", np.float32(2))
    return model


def array_of(model: ir.Model, name: str) -> Array:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def put(model: ir.Model, name: str, array: Array) -> None:
    model.graph.initializers[name].const_value = ir.tensor(np.asarray(array, np.float32), name=name)


def statistics_of(model: ir.Model, scheme: str) -> Statistics:
    selection = select(model, SCHEMES[scheme])
    samples = [random_feeds(model, seed=seed) for seed in range(4)]
    return collect(model, samples, [str(value.name) for value in selection.sources], measurable(selection))


def moved(model: ir.Model, scheme: str = "graphopt") -> dict[str, Reals]:
    return divisors(select(model, SCHEMES[scheme]), SCHEMES[scheme].facts, statistics_of(model, scheme))


@pytest.mark.parametrize("name", MOVING)
def test_scale_moves_and_answers_stay(name: str) -> None:
    model = uneven(MOVING[name])
    scales = moved(model)
    assert list(scales) == ["e"]
    changed = model.clone()
    assert "e" in migrate(changed, scales)
    verify(changed, types=True)
    assert {node.op_type for node in changed.graph} - {"Mul"} == {node.op_type for node in model.graph} - {"Mul"}
    for seed in range(3):
        feeds = random_feeds(model, seed=seed)
        found = differences(evaluate(changed, feeds), evaluate(model, feeds))
        assert max(one.error for one in found) < EXACT
    assert evened(changed) < evened(model) / 50


def evened(model: ir.Model) -> float:
    """Return how much wider the widest channel of `e` is than the narrowest."""
    widths = statistics_of(model, "graphopt").extremes["e"]
    reach = np.maximum(widths.maximum, -widths.minimum)
    return float(reach.max() / reach.min())


@pytest.mark.parametrize("name", STAYING)
def test_scale_stays_where_it_cannot_move(name: str) -> None:
    assert "e" not in moved(uneven(STAYING[name]))


def test_a_gate_keeps_its_scale_where_a_product_costs_time() -> None:
    assert not moved(uneven(MOVING["a gate, by a product"]), "x64")
    assert list(moved(uneven(MOVING["a factor and a summand"]), "x64")) == ["e"]


def test_even_channels_stay() -> None:
    model = inferred(f"{HEAD} {{ {MOVING['a layer']} }}")
    for name in "wbv":
        put(model, name, np.broadcast_to(array_of(model, name)[:1], array_of(model, name).shape))
    assert not moved(model)


def test_channels_that_are_silent_or_unheard_do_no_harm() -> None:
    model = uneven(MOVING["a layer"])
    for name, channel in (("w", 1), ("b", 1), ("v", 4)):
        array = array_of(model, name).copy()
        array[channel] = 0
        put(model, name, array)
    scales = moved(model)
    changed = model.clone()
    migrate(changed, scales)
    feeds = random_feeds(model, seed=1)
    assert max(one.error for one in differences(evaluate(changed, feeds), evaluate(model, feeds))) < EXACT


def test_a_matrix_reads_features() -> None:
    text = (
        "g (float[N,5] x) => (float[N,4] y) <float[5,6] w, float[4,6] v>"
        "{ e = MatMul (x, w)  y = Gemm <transB = 1> (e, v) }"
    )
    model = inferred(text)
    put(model, "w", array_of(model, "w") * np.geomspace(1, 1000, 6, dtype=np.float32))
    scales = moved(model)
    changed = model.clone()
    migrate(changed, scales)
    feeds = random_feeds(model, seed=1)
    assert max(one.error for one in differences(evaluate(changed, feeds), evaluate(model, feeds))) < EXACT


@pytest.mark.parametrize("name", MOVING)
def test_integers_answer_better_and_a_plan_says_all(name: str) -> None:
    model, scheme = uneven(MOVING[name]), SCHEMES["graphopt"]
    scales = moved(model)
    changed = model.clone()
    migrate(changed, scales)
    plan = planned(changed, scheme)
    whole = Plan(plan.values, plan.weights, plan.integers, plan.biases, plan.nodes, scales)
    written, expected = model.clone(), changed.clone()
    emit(written, Plan.from_json(whole.to_json()), scheme.form)
    emit(expected, plan, scheme.form)
    before = model.clone()
    emit(before, planned(model, scheme), scheme.form)
    feeds = random_feeds(model, seed=9)
    assert max(one.error for one in differences(evaluate(written, feeds), evaluate(expected, feeds))) == 0
    assert per_channel(model, written) < per_channel(model, before) / 2
    assert error(model, written) < 0.1


def test_a_plan_for_another_model_is_refused() -> None:
    model = uneven(MOVING["a layer"])
    for name, size in (("y", 6), ("x", 3), ("e", 5)):
        with pytest.raises(CalibrationError, match=f"divides the channels of '{name}'"):
            emit(model.clone(), Plan(divisors={name: np.ones(size, np.float32)}), "graphopt")


def per_channel(model: ir.Model, written: ir.Model) -> float:
    """Return the error relative to each channel's own answers, of the worst channel."""
    feeds = random_feeds(model, seed=9)
    expected, actual = (next(iter(evaluate(one, feeds).values())) for one in (model, written))
    noise = np.square(expected - actual).mean((0, 2, 3))
    return float(np.sqrt(noise / np.square(expected).mean((0, 2, 3))).max())
