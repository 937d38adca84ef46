"""Whatever the network, fused and plain nodes answer alike, kernels are convex, and nothing is left to fuse."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings

import graphopt
from graphopt.ir.verify import verify
from tests.properties.random_graphs import BATCH, random_graphs
from tests.properties.test_random_graphs import TOLERANCE, answers, largest_inside, shape_of

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_GRAPHS", "50"))


@pytest.mark.parametrize("pipeline", ["infer-shapes,fuse-operators", "O3"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_graphs())
def test_fusion_keeps_answers_and_is_done_in_one_run(pipeline: str, model: onnx.ModelProto) -> None:
    x = np.random.default_rng(0).standard_normal([BATCH, *shape_of(model)]).astype(np.float32)
    expected = answers(model, x)
    optimized, _ = graphopt.optimize(model, pipeline)
    verify(optimized, types=True)
    proto = ir.to_proto(optimized)
    onnx.checker.check_model(proto, full_check=True)
    actual = answers(proto, x)
    assert list(actual) == list(expected)
    scale = largest_inside(model, x)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=0, atol=TOLERANCE * scale, err_msg=name, strict=True)
    assert graphopt.optimize(proto, pipeline).report.changes == 0
