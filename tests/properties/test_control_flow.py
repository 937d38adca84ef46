"""Whatever is decided by an If or a Loop, and wherever they stand in each other, the answers stay."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.ir.verify import verify
from tests.properties.random_control_flow import random_control_flow

PIPELINES = (
    "simplify-control-flow",
    "simplify-control-flow{max-nodes=8}",
    "inline-functions,simplify-control-flow",
    "O2",
    "O3",
)


@pytest.mark.parametrize("pipeline", PIPELINES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=random_control_flow(), flag=st.booleans(), turns=st.integers(0, 3))
def test_control_flow_keeps_answers_and_converges(
    pipeline: str, model: onnx.ModelProto, flag: bool, turns: int
) -> None:
    onnx.checker.check_model(model)
    feeds = {"x": np.array([0.75, -0.5], np.float32), "b": np.bool_(flag), "n": np.int64(turns)}
    expected = answers(model, feeds)
    optimized, _ = graphopt.optimize(model, pipeline)
    verify(optimized, types=True)
    proto = ir.to_proto(optimized)
    onnx.checker.check_model(proto, full_check=True)
    actual = answers(proto, feeds)
    assert list(actual) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=0, atol=1e-6, err_msg=name, strict=True)
    assert graphopt.optimize(optimized, pipeline).report.changes == 0


def answers(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return Session(model.SerializeToString(), threads=1, optimize=False).run(
        {name: np.asarray(array) for name, array in feeds.items()}
    )
