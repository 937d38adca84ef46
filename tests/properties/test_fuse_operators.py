"""Whatever the network, kernels answer as the nodes in them did, and nothing is left to fuse, be it saved or not."""

from __future__ import annotations

import os

import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, assume, given, settings

import graphopt
from tests.properties.random_graphs import RandomModel, quick_random_graphs
from tests.properties.survival import outcome, reference_of

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_GRAPHS", "25"))


@pytest.mark.parametrize("pipeline", ["infer-shapes,fuse-operators", "O3"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(quick_random_graphs())
def test_random_graphs_survive_fusion(pipeline: str, model: RandomModel) -> None:
    reference = reference_of(model)
    assume(reference)
    assert reference is not None
    assert outcome(model, reference, pipeline).problem is None
    proto = ir.to_proto(graphopt.optimize(model.proto, pipeline).model)
    onnx.checker.check_model(proto, full_check=True)
    again = graphopt.optimize(proto, pipeline).report.passes[-1]
    assert (again.text, again.changes) == ("fuse-operators", 0)
