"""What an optimizer may not do to a case: break it, change its answer or interface, or find more to do again."""

from __future__ import annotations

import onnx
import onnx_ir as ir

import graphopt
from graphopt.errors import GraphoptError, ModelError, RunError
from graphopt.ir.verify import verify
from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS
from tests.conformance.cases import Answer, Case, disagreement, reference_of, run

ELSEWHERE = {
    "convert-float": "rounds on purpose: tests/test_convert_float.py",
    "convert-opset": "refuses what another opset cannot say: tests/conformance/test_opsets.py",
    "clip-weights": "gives answers away on purpose: tests/passes/clip-weights.md",
    "factorize": "gives answers away on purpose: tests/passes/factorize.md",
    "prune-channels": "gives answers away on purpose: tests/passes/prune-channels.md",
    "quantize": "rounds on purpose, by a plan for one model: tests/test_quantize.py",
    "remove-blocks": "leaves out what it is told to: tests/passes/remove-blocks.md",
    "share-weights": "gives answers away on purpose: tests/test_share.py",
    "sparsify": "gives answers away on purpose: tests/test_sparsify.py",
    "tie-weights": "takes near for equal: tests/passes/tie-weights.md",
}
"""Passes that keep answers in their own sense, by name, and where they are held to it."""


def failure(case: Case, answer: Answer | None, pipeline: str = DEFAULT_PRESET, *, folds: bool = False) -> str | None:
    """Say what is wrong with a case that has gone through a pipeline, or return None.

    Without an answer it is not run. With `folds` no node may be left. A model that a pass leaves untouched
    is what O0 makes of it, and is judged there.
    """
    try:
        optimized, report = graphopt.optimize(case.model, pipeline)
        if not report.changes and pipeline not in PRESETS:
            return None
        verify(optimized)
        again = graphopt.optimize(optimized, pipeline).report
    except GraphoptError as error:
        return f"{type(error).__name__}: {error}"
    if again.changes:
        return f"changes again: {', '.join(f'{record.text} {record.changes}' for record in again.passes)}"
    if folds and len(optimized.graph):
        return f"keeps {', '.join(node.op_type for node in optimized.graph)}"
    return difference(case, answer, ir.to_proto(optimized))


def difference(case: Case, answer: Answer | None, proto: onnx.ModelProto) -> str | None:
    """Say in what a model differs from the case that it was made from, or return None."""
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        return f"became invalid: {error}"
    if interface(proto) != interface(case.model):
        return f"has the inputs and outputs {interface(proto)} now"
    if answer is None:
        return None
    try:
        return disagreement(answer, run(reference_of(proto), case.inputs))
    except (ModelError, RunError) as error:
        return f"does not run any more: {error}"


def interface(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs, in order; an initializer is no input."""
    defaults = {tensor.name for tensor in model.graph.initializer}
    inputs = [item.name for item in model.graph.input if item.name not in defaults]
    return inputs, [item.name for item in model.graph.output]
