"""Whatever the network, the default preset keeps its answers, leaves it valid, and has nothing left to do."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import HealthCheck, given, settings

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.ir.verify import verify
from tests.properties.random_graphs import BATCH, random_graphs

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_GRAPHS", "100"))
TOLERANCE = 1e-4


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_graphs())
def test_the_default_preset_keeps_answers_and_converges(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    x = np.random.default_rng(0).standard_normal([BATCH, *shape_of(model)]).astype(np.float32)
    expected = answers(model, x)
    optimized, _ = graphopt.optimize(model)
    verify(optimized, types=True)
    proto = ir.to_proto(optimized)
    onnx.checker.check_model(proto, full_check=True)
    actual = answers(proto, x)
    assert list(actual) == list(expected)
    scale = largest_inside(model, x)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=0, atol=TOLERANCE * scale, err_msg=name, strict=True)
    assert graphopt.optimize(optimized).report.changes == 0


def shape_of(model: onnx.ModelProto) -> list[int]:
    """Return the input's shape without the batch."""
    return [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]


def answers(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    return Session(model.SerializeToString(), threads=1, optimize=False).run({"x": x})


def largest_inside(model: onnx.ModelProto, x: np.ndarray) -> float:
    """Return the largest magnitude of any value: two of that size may cancel out, what is left being noise."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for node in model.graph.node for name in node.output)
    return max(float(np.abs(array).max(initial=0)) for array in answers(exposed, x).values())
