"""Students of integers: gradients go straight through the rounding, and integers stay what is stored."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.distillation.bridge.network import Network
from graphopt.distillation.constraints import Codebook, Mask
from graphopt.distillation.distill import distill
from graphopt.ir.tensors import slots
from tests.distillation.students import QUICK, TEACHER, images, samples, teacher, weights
from tests.networks import network


def quantized(target: str) -> ir.Model:
    model = graphopt.quantize(teacher(), {"x": images()}, target, method="minmax", threads=1).model
    rng = np.random.default_rng(0)
    for name, value in model.graph.initializers.items():
        array = weights(model)[name]
        if value.dtype in {ir.DataType.INT8, ir.DataType.INT4} and array.ndim > 1:
            least, greatest = (-8, 7) if value.dtype is ir.DataType.INT4 else (-128, 127)
            moved = array.astype(np.int64) + rng.integers(-(greatest // 3), greatest // 3, array.shape)
            value.const_value = ir.tensor(np.clip(moved, least, greatest).astype(array.dtype), name=name)
    return model


@pytest.mark.parametrize("target", ["x64", "tensorrt", "weights-int8", "weights-int4"])
def test_integers_are_trained_and_stay_integers(target: str):
    model = quantized(target)
    result = distill(teacher(), model, samples(model), QUICK, threads=1)
    first, best = result.history.epochs[0], result.history.epochs[result.history.best]
    assert (best.held_out_loss or 0.0) < 0.7 * (first.held_out_loss or 0.0)
    before, after = (
        [(slot.tensor.dtype, tuple(slot.tensor.shape)) for slot in slots(one)] for one in (model, result.model)
    )
    assert before == after
    scales = [name for name, array in weights(model).items() if "scale" in name and array.dtype == np.float32]
    assert scales
    assert all(np.array_equal(weights(model)[name], weights(result.model)[name]) for name in scales)


@pytest.mark.parametrize("target", ["x64", "weights-int4"])
def test_training_sees_what_the_model_will_be(target: str):
    """The network with shadow weights answers as the model that is written from them."""
    model = quantized(target)
    network_ = Network(model)
    state = network_.initial()
    with torch.no_grad():
        for name, tensor in state.free.items():
            tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(len(name))))
        made = network_.run(state, {"x": torch.from_numpy(images())}, ["y"])["y"]
    network_.write(state, model)
    np.testing.assert_allclose(made.numpy(), evaluate(model, {"x": images()}, threads=1)["y"], rtol=1e-5, atol=1e-5)


def test_gradients_pass_the_rounding_and_stop_at_the_limits():
    model = network("""
        g (float[N,3] x) => (float[N,3] y) <float s = {0.5}, int8 z = {1}>
        { q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }
    """)
    x = torch.tensor([[0.3, 100.0, -100.0]], requires_grad=True)
    made = Network(model).run(Network(model).initial(), {"x": x}, ["y"])["y"]
    (gradient,) = torch.autograd.grad(made.sum(), x)
    assert made.tolist() == [[0.5, 63.0, -64.5]]
    assert gradient.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("kind", ["mask", "codebook"])
def test_constraints_hold_for_integers_too(kind: str):
    model = quantized("weights-int8")
    name = next(name for name, array in weights(model).items() if array.dtype == np.int8 and array.ndim == 4)
    shape = weights(model)[name].shape
    chosen = np.random.default_rng(0).integers(0, 2, shape)
    constraint = Mask(chosen > 0) if kind == "mask" else Codebook(chosen)
    after = weights(distill(teacher(), model, samples(model), QUICK, constraints={name: constraint}, threads=1).model)
    if kind == "mask":
        assert not after[name][chosen == 0].any()
        assert after[name][chosen == 1].any()
        return
    scale = next(value.consumers()[0].inputs[1] for key, value in model.graph.initializers.items() if key == name)
    assert scale is not None
    reals = after[name] * weights(model)[str(scale.name)].reshape(-1, 1, 1, 1)
    half = weights(model)[str(scale.name)].max() / 2
    for number in (0, 1):
        held = reals[chosen == number]
        assert held.max() - held.min() <= 2 * half


def test_float_weights_between_quantizers_are_trained_as_floats():
    text = TEACHER.replace("(x, w, b)", "(x, d, b)").replace(
        "{\n    a =",
        "{\n    q = QuantizeLinear (w, s)\n    d = DequantizeLinear (q, s)\n    a =",
    )
    model = network(text.replace("<float[4,2,3,3] w,", "<float s = {0.05}, float[4,2,3,3] w,"))
    assert set(Network(model).names) == {"w", "b", "v", "c"}
