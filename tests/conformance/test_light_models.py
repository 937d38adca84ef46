"""The `light` networks keep their answers and lose every BatchNormalization that can legally go."""

from __future__ import annotations

import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from tests.conformance.light_models import LIGHT_MODELS, light_model

LINEAR = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@pytest.mark.parametrize("name", LIGHT_MODELS)
def test_keeps_its_answers_and_no_batch_normalization_that_folds(name: str) -> None:
    model = light_model(name)
    optimized, report = graphopt.optimize(model)
    verify(optimized)
    feeds = random_feeds(model)
    worst = differences(evaluate(model, feeds), evaluate(optimized, feeds))[0]
    assert worst.error <= 1e-5, worst
    assert [node.outputs[0].name for node in optimized.graph if folds(node)] == []
    assert report.after.nodes <= report.before.nodes
    assert set(report.after.ops).isdisjoint({"Constant", "ConstantOfShape", "Dropout", "Identity", "Unsqueeze"})


def folds(node: ir.Node) -> bool:
    """Whether a node is a BatchNormalization between which and a linear operator beside it stands nothing."""
    if node.op_type != "BatchNormalization":
        return False
    source, result = node.inputs[0], node.outputs[0]
    producer = source.producer() if source is not None else None
    if producer is not None and producer.op_type in LINEAR and _has_one_reader(source):
        return True
    readers = [reader for reader, _ in result.uses()]
    return _has_one_reader(result) and readers[0].op_type in LINEAR and "pads" not in readers[0].attributes


def _has_one_reader(value: ir.Value | None) -> bool:
    return value is not None and len(value.uses()) == 1 and not value.is_graph_output()


def test_there_are_nine() -> None:
    assert len(LIGHT_MODELS) == 9
