"""Whatever the network, the default preset keeps its answers, leaves it valid, and has nothing left to do."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings

from graphopt.backends.ort.session import Session
from graphopt.ir.load import load
from graphopt.ir.shapes import infer_shapes
from tests.properties.random_graphs import LEAST_NODES, RandomModel, random_graphs, random_model
from tests.properties.survival import operators, outcome, reference_of

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_GRAPHS", "50"))
SAMPLE = 60


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_graphs())
def test_random_graphs_survive_the_default_preset(model: RandomModel) -> None:
    reference = reference_of(model)
    assume(reference)
    assert reference is not None
    assert outcome(model, reference).problem is None


@pytest.fixture(scope="module")
def sample() -> list[RandomModel]:
    rng = np.random.default_rng(0)
    return [random_model(lambda options: int(rng.integers(options))) for _ in range(SAMPLE)]


def test_nearly_all_graphs_run(sample: list[RandomModel]) -> None:
    assert sum(reference_of(model) is not None for model in sample) >= 0.9 * SAMPLE


def test_graphs_are_as_large_and_as_various_as_they_are_meant_to_be(sample: list[RandomModel]) -> None:
    for model in sample:
        onnx.checker.check_model(model.proto)
        assert sum(operators(model.proto).values()) >= LEAST_NODES
    assert len({op_type for model in sample for op_type in operators(model.proto)}) >= 60


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_graphs())
def test_inferred_shapes_are_those_of_runs(model: RandomModel) -> None:
    reference = reference_of(model)
    assume(reference)
    assert reference is not None
    inferred = load(model.proto)
    infer_shapes(inferred)
    known = {value.name: value.shape for node in inferred.graph for value in node.outputs}
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model.proto)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in known if name)
    session = Session(exposed.SerializeToString(), threads=1, optimize=False)
    for feeds, _ in reference.answers:
        sizes = {
            dim.value: size
            for value in inferred.graph.inputs
            for dim, size in zip(value.shape, feeds[value.name].shape, strict=True)
            if not isinstance(dim, int)
        }
        for name, array in session.run(feeds).items():
            shape = known[name]
            assert shape is None or len(shape) == array.ndim, name
            for dim, size in zip(shape or (), array.shape, strict=False):
                found = dim if isinstance(dim, int) or dim.value is None else dim.evaluate(sizes)
                assert not isinstance(found, int) or found == size, f"{name}: {shape} is {array.shape}"
