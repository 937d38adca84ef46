"""What makes a channel important: each criterion finds the channel that was made unimportant for it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate
from graphopt.calibration.collect import collect
from graphopt.calibration.drawn import draw
from graphopt.calibration.source import open_samples
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Coupling
from graphopt.coupling.mask import mask
from graphopt.errors import CalibrationError, ModelError
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.pruning.importance import masking
from graphopt.pruning.importance.criterion import NEEDS_GRAMS, NEEDS_SAMPLES, Criterion, score
from graphopt.pruning.importance.evidence import Evidence, measured
from tests.networks import network

TEXT = """
g (float[N,3,8,8] x) => (float[N,5] y)
<float[6,3,3,3] w, float[6] b, float[6,1,3,3] d, float[8,6,1,1] v, float[8] c, float[5,8] m, float[5] n>
{
    a = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (a)
    f = Conv <group = 6, pads = [1,1,1,1]> (r, d)
    s = Relu (f)
    e = Conv (s, v, c)
    o = Relu (e)
    p = GlobalAveragePool (o)
    q = Flatten (p)
    y = Gemm <transB = 1> (q, m, n)
}
"""
IMAGES = np.random.default_rng(4).standard_normal((24, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def model() -> ir.Model:
    model = network(TEXT)
    infer_shapes(model)
    model.graph.initializers["c"].const_value = ir.tensor(np.full(8, 3.0, np.float32), name="c")  # none is dead
    return model


def scaled(model: ir.Model, name: str, channel: int, factor: float, axis: int = 0) -> None:
    """Multiply what a constant has of a channel."""
    value = model.graph.initializers[name]
    array = constant(value)
    assert array is not None
    factors = np.ones(array.shape[axis], np.float32)
    factors[channel] = factor
    shape = [-1 if index == axis else 1 for index in range(array.ndim)]
    value.const_value = ir.tensor(array * factors.reshape(shape), name=name)


def shifted(model: ir.Model, name: str, channel: int, shift: float) -> None:
    value = model.graph.initializers[name]
    array = constant(value)
    assert array is not None
    moved = array.copy()
    moved[channel] += shift
    value.const_value = ir.tensor(moved, name=name)


def evidence(model: ir.Model, coupling: Coupling, *, seed: int = 0) -> Evidence:
    samples = open_samples({"x": IMAGES}, model)
    statistics = collect(model, samples, (), measured(coupling), threads=1)
    return Evidence(statistics, samples, seed, threshold=0.5, threads=1)


def scores(criterion: Criterion, model: ir.Model, *, seed: int = 0) -> dict[str, np.ndarray]:
    coupling = couple(model)
    return score(criterion, model, coupling, evidence(model, coupling, seed=seed))


@pytest.mark.parametrize("criterion", Criterion)
def test_each_scores_every_channel_by_a_finite_number(criterion: Criterion, model: ir.Model) -> None:
    found = scores(criterion, model)
    assert {name: len(array) for name, array in found.items()} == {"a": 6, "e": 8}
    assert all(np.isfinite(array).all() for array in found.values())
    again = scores(criterion, model)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_l1_l2_and_the_threshold_count_what_all_weights_lose(model: ir.Model) -> None:
    w, d, v = (np.abs(constant(model.graph.initializers[name]).astype(np.float64)) for name in "wdv")  # type: ignore[union-attr]
    l1 = w.sum((1, 2, 3)) + d.sum((1, 2, 3)) + v.sum((0, 2, 3))
    np.testing.assert_allclose(scores(Criterion.L1, model)["a"], l1)
    squares = (w**2).sum((1, 2, 3)) + (d**2).sum((1, 2, 3)) + (v**2).sum((0, 2, 3))
    np.testing.assert_allclose(scores(Criterion.L2, model)["a"], np.sqrt(squares))
    above = (w > 0.5).sum((1, 2, 3)) + (d > 0.5).sum((1, 2, 3)) + (v > 0.5).sum((0, 2, 3))
    np.testing.assert_allclose(scores(Criterion.MAGNITUDE, model)["a"], above / (27 + 9 + 8))


def test_random_depends_on_the_seed_alone(model: ir.Model) -> None:
    first = scores(Criterion.RANDOM, model, seed=1)
    scaled(model, "w", 2, 100.0)
    np.testing.assert_array_equal(first["a"], scores(Criterion.RANDOM, model, seed=1)["a"])
    assert (first["a"] != scores(Criterion.RANDOM, model, seed=2)["a"]).any()


def test_activation_finds_a_dead_channel_exactly(model: ir.Model) -> None:
    shifted(model, "c", 3, -1000.0)
    found = scores(Criterion.ACTIVATION, model)["e"]
    assert np.argmin(found) == 3
    assert found[3] == 0
    assert (np.delete(found, 3) > 0).all()


def test_activation_is_the_share_of_elements_that_are_not_zero(model: ir.Model) -> None:
    probe = model.clone()
    probe.graph.outputs.append(next(v for node in probe.graph for v in node.outputs if v.name == "s"))
    made = evaluate(probe, {"x": IMAGES}, threads=1)["s"]
    np.testing.assert_allclose(scores(Criterion.ACTIVATION, model)["a"], (made != 0).mean(axis=(0, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize("criterion", [Criterion.ACTIVATION_WEIGHT, Criterion.OUTPUT_KL, Criterion.OBS])
def test_a_channel_that_is_hardly_read_is_the_least(criterion: Criterion, model: ir.Model) -> None:
    scaled(model, "v", 4, 1e-3, axis=1)
    scaled(model, "m", 6, 1e-3, axis=1)
    found = scores(criterion, model)
    assert np.argmin(found["a"]) == 4
    assert np.argmin(found["e"]) == 6


def test_first_order_finds_what_the_answer_does_not_depend_on(model: ir.Model) -> None:
    for name, axis in (("w", 0), ("d", 0), ("v", 1)):
        scaled(model, name, 4, 1e-3, axis)
    found = scores(Criterion.FIRST_ORDER, model)["a"]
    assert np.argmin(found) == 4
    assert found[4] < 1e-2 * np.median(found)


@pytest.mark.parametrize("channel", [0, 5])
def test_output_kl_is_the_divergence_of_the_masked_model(channel: int, model: ir.Model) -> None:
    coupling = couple(model)
    masked = model.clone()
    mask(masked, coupling, {"a": [channel]})
    drawn = draw(open_samples({"x": IMAGES}, model), masking.SAMPLES)
    images = np.concatenate([batch.feeds["x"] for batch in drawn])
    right, made = (softmax(evaluate(one, {"x": images}, threads=1)["y"]) for one in (model, masked))
    expected = (right * np.log(right / made)).sum(1).mean()
    np.testing.assert_allclose(scores(Criterion.OUTPUT_KL, model)["a"][channel], expected, rtol=1e-3)


def test_channels_masked_together_share_what_that_costs(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "TRIALS", 7)  # 14 channels, so two at a time
    found = scores(Criterion.OUTPUT_KL, model)
    for array in found.values():
        _, counts = np.unique(array, return_counts=True)
        assert (counts == 2).all()


@pytest.mark.parametrize("criterion", sorted(NEEDS_SAMPLES))
def test_what_runs_the_model_asks_for_data(criterion: Criterion, model: ir.Model) -> None:
    with pytest.raises(CalibrationError, match=f"criterion '{criterion}' runs the model: give data"):
        score(criterion, model, couple(model), Evidence())


@pytest.mark.parametrize("criterion", sorted(set(Criterion) - NEEDS_SAMPLES - NEEDS_GRAMS))
def test_the_others_do_without(criterion: Criterion, model: ir.Model) -> None:
    assert set(score(criterion, model, couple(model), Evidence())) == {"a", "e"}


@pytest.mark.parametrize("criterion", [Criterion.L1, Criterion.MAGNITUDE, Criterion.ACTIVATION_WEIGHT])
def test_a_weight_that_is_not_finite_is_refused(criterion: Criterion, model: ir.Model) -> None:
    coupling = couple(model)
    found = evidence(model, coupling)
    model.graph.initializers["m"].const_value = ir.tensor(np.full((5, 8), np.inf, np.float32), name="m")
    with pytest.raises((ModelError, CalibrationError), match="infinity"):
        score(criterion, model, coupling, found)


def softmax(values: np.ndarray) -> np.ndarray:
    exponents = np.exp(values.astype(np.float64))
    return np.asarray(exponents / exponents.sum(1, keepdims=True))
