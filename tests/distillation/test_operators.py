"""Each operator of the bridge against onnxruntime, its gradients against finite differences."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.distillation.bridge.network import Network, State
from graphopt.distillation.bridge.operators import OPERATORS
from graphopt.ir.text.parser import parse_model
from tests.distillation.operator_cases import CASES, QUANTIZED, Case

TABLE = [
    pytest.param(op, case, id=f"{op}-{number}")
    for op, cases in (CASES | QUANTIZED).items()
    for number, case in enumerate(cases)
]
DIFFERENTIABLE = [entry for entry in TABLE if entry.values[0] not in QUANTIZED]


def prepare(case: Case) -> tuple[ir.Model, dict[str, np.ndarray]]:
    model = parse_model(case.text, opset=case.opset)
    return model, random_feeds(model, seed=1)


def test_no_operator_is_untested():
    assert set(CASES) | set(QUANTIZED) == set(OPERATORS)


@pytest.mark.parametrize(("op", "case"), TABLE)
def test_answers_are_those_of_onnxruntime(op: str, case: Case):
    model, feeds = prepare(case)
    assert any(node.op_type == op for node in model.graph)
    network = Network(model)
    expected = evaluate(model, feeds, threads=1)
    made = network.run(
        network.initial(), {name: torch.from_numpy(array) for name, array in feeds.items()}, list(expected)
    )
    for name, array in expected.items():
        assert made[name].shape == array.shape
        np.testing.assert_allclose(made[name].detach().numpy(), array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("op", "case"), DIFFERENTIABLE)
def test_gradients_are_those_of_finite_differences(op: str, case: Case):
    model, feeds = prepare(case)
    network = Network(model, dtype=torch.float64)
    start = network.initial()
    given = [torch.from_numpy(array).double().requires_grad_() for array in feeds.values()]
    outputs = [str(value.name) for value in model.graph.outputs]

    def function(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs, weights = tensors[: len(feeds)], tensors[len(feeds) :]
        state = State(dict(zip(start.free, weights, strict=True)), start.statistics)
        made = network.run(state, dict(zip(feeds, inputs, strict=True)), outputs)
        return tuple(value for value in made.values() if value.requires_grad)

    if function(*given, *start.free.values()):
        assert torch.autograd.gradcheck(function, (*given, *start.free.values()))
    else:
        assert op in {"Ceil", "Floor", "Round", "Sign"}
