"""What of a model is trained, and how it is stored again."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
import torch

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.distillation.bridge.call import Mode
from graphopt.distillation.bridge.network import Network
from graphopt.distillation.gradients import Objective, each_gradient, gradients
from graphopt.errors import ModelError
from tests.distillation.students import images, samples, student, teacher, weights
from tests.networks import CONV_BN_RELU, network


def test_weights_are_trained_and_numbers_of_formulas_are_not():
    model = network("""
        g (float[N,4] x) => (float[N,4] y)
        <float six = {6}, float[4] shift, float[4,4] w, float low = {0}, float high = {1}, int64[2] target = {0,4}>
        {
            t = Transpose (w)
            a = MatMul (x, t)
            s = Add (a, shift)
            d = Div (s, six)
            c = Clip (d, low, high)
            y = Reshape (c, target)
        }
    """)
    assert dict(Network(model).decays) == {"w": True, "shift": False}


def test_statistics_follow_the_batch_where_the_mode_says_so():
    model = network(CONV_BN_RELU)
    bridge = Network(model)
    state = bridge.initial()
    before = {name: tensor.clone() for name, tensor in state.statistics.items()}
    feeds = {"x": torch.from_numpy(random_feeds(model)["x"])}
    bridge.run(state, feeds, ["y"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.statistics.items())
    made = bridge.run(state, feeds, ["c", "b"], Mode(batch_statistics=True))
    expected = 0.9 * before["mean"] + 0.1 * made["c"].mean((0, 2, 3))
    torch.testing.assert_close(state.statistics["mean"], expected)
    scale, shift = state.free["scale"], state.free["shift"]
    torch.testing.assert_close(made["b"].mean((0, 2, 3)), shift, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made["b"].std((0, 2, 3), correction=0), scale.abs(), atol=1e-3, rtol=1e-3)
    bridge.write(state, model)
    np.testing.assert_array_equal(weights(model)["mean"], state.statistics["mean"].numpy())


def test_dropout_drops_in_training_alone():
    model = network("g (float[N,100] x) => (float[N,100] y) <float r = {0.25}> { y = Dropout (x, r) }")
    feeds = {"x": torch.ones(10, 100)}
    bridge = Network(model)
    assert bridge.run(bridge.initial(), feeds, ["y"])["y"].eq(1).all()
    made = bridge.run(bridge.initial(), feeds, ["y"], Mode(dropout=True))["y"]
    assert 0.15 < made.eq(0).double().mean() < 0.35
    assert made.unique().tolist() == [0, pytest.approx(4 / 3)]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_weights_are_stored_in_their_own_type(dtype: type):
    model = student()
    for name, value in model.graph.initializers.items():
        value.const_value = ir.tensor(weights(model)[name].astype(dtype), name=name)
    bridge = Network(model)
    before = weights(model)
    bridge.write(bridge.initial(), model)
    assert all(array.dtype == dtype and np.array_equal(array, before[name]) for name, array in weights(model).items())


def test_what_does_not_run_is_named():
    model = network("g (float[N,4] x) => (float[N,4] y) <float[3,4] w> { y = MatMul (x, w) }")
    bridge = Network(model)
    with pytest.raises(ModelError, match=r"node MatMul \(-> y\) does not run in PyTorch \(.*\); check the shapes"):
        bridge.run(bridge.initial(), {"x": torch.ones(2, 4)}, ["y"])


def test_gradients_of_the_answer_are_those_of_finite_differences():
    model = teacher()
    found = gradients(model, samples(model), Objective.POWER, threads=1)
    assert set(found) == {"w", "b", "v", "c"}

    def power(name: str, index: tuple[int, ...], step: float) -> float:
        changed = teacher()
        array = weights(changed)[name].copy()
        array[index] += step
        changed.graph.initializers[name].const_value = ir.tensor(array, name=name)
        return float(np.square(evaluate(changed, {"x": images()}, threads=1)["y"]).mean() / 2)

    for name, index in (("w", (1, 0, 2, 1)), ("b", (2,)), ("v", (1, 3)), ("c", (0,))):
        slope = (power(name, index, 1e-3) - power(name, index, -1e-3)) / 2e-3
        assert found[name][index] == pytest.approx(slope, rel=1e-2, abs=1e-4)


def test_gradients_are_the_mean_of_those_of_the_parts():
    model = teacher()
    feeds = [{"x": images()[:10]}, {"x": images()[10:40]}]
    parts = [found for _, found in each_gradient(model, feeds, threads=1)]
    whole = gradients(model, feeds, threads=1)
    for name, gradient in whole.items():
        np.testing.assert_allclose(gradient, (10 * parts[0][name] + 30 * parts[1][name]) / 40, rtol=1e-5, atol=1e-7)
        assert gradient.shape == weights(model)[name].shape


def test_no_loss_without_floating_point_outputs():
    model = network("g (float[N,4] x) => (int64[N,1] y) <float[4,4] w> { a = MatMul (x, w) y = ArgMax <axis = 1> (a) }")
    with pytest.raises(ModelError, match="has no output of floating-point numbers, so nothing in it can be learnt"):
        gradients(model, [{"x": np.ones((2, 4), np.float32)}], threads=1)
