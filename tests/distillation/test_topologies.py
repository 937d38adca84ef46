"""Known topologies, behind the usual passes, answer in PyTorch as in onnxruntime, and each weight has a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.distillation.bridge.network import Network
from models import TOPOLOGIES

SMALL = ["densenet121", "inception_v2", "mobilenet_v2", "resnet18", "shufflenet_v2", "squeezenet1.1", "unet"]


@pytest.mark.parametrize("name", SMALL)
def test_topologies_run_and_have_gradients(name: str):
    model = graphopt.optimize(TOPOLOGIES[name](seed=0, batch="N", image=64)).model
    image = np.random.default_rng(0).standard_normal((2, 3, 64, 64), dtype=np.float32)
    ((output, expected),) = evaluate(model, {"image": image}, threads=1).items()
    network = Network(model)
    state = network.initial()
    made = network.run(state, {"image": torch.from_numpy(image)}, [output])[output]
    np.testing.assert_allclose(made.detach().numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    made.square().mean().backward()
    assert state.free
    assert all(tensor.grad is not None for tensor in state.free.values())
