"""What the default preset does to a random model, and whether the model survives it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import onnx
import onnx_ir as ir

import graphopt
from graphopt.errors import GraphoptError, ModelError, RunError
from graphopt.ir.verify import verify
from graphopt.pipeline.check import Check, Rewrite
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pipeline.report import Report
from tests.properties.agreement import Reference
from tests.properties.random_graphs import RandomModel


class RuleCount(Check):
    """Lets every rewrite happen and counts them by rule."""

    def __init__(self) -> None:
        self.rules: Counter[str] = Counter()

    def refuse(self, rewrite: Rewrite) -> str | None:
        """Count."""
        self.rules[f"{rewrite.pass_name}/{rewrite.rule}"] += 1
        return None


@dataclass(frozen=True)
class Outcome:
    """What became of a model.

    Attributes:
        problem: what went wrong; None if the model survived.
        report: of the optimization; None if that failed.
        rules: how often each was applied.

    """

    problem: str | None
    report: Report | None
    rules: Counter[str]


def outcome(model: RandomModel, reference: Reference, pipeline: str = DEFAULT_PRESET) -> Outcome:
    """Optimize a model: it must stay valid, keep its answers, and have nothing left to do."""
    count = RuleCount()
    try:
        optimized, report = graphopt.optimize(model.proto, pipeline, check=count)
        verify(optimized, types=True)
        problem = reference.disagreement(ir.to_proto(optimized))
        if problem is None and (left := graphopt.optimize(optimized, pipeline).report.changes):
            problem = f"a second run changes {left} more things"
    except GraphoptError as error:
        return Outcome(f"{type(error).__name__}: {error}", None, count.rules)
    return Outcome(problem, report, count.rules)


def reference_of(model: RandomModel) -> Reference | None:
    """Return what to compare with, or None where the drawn operators do not fit each other after all."""
    try:
        return Reference(model)
    except (ModelError, RunError):
        return None


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Count a model's operators, Constants aside."""
    return Counter(node.op_type for node in model.graph.node if node.op_type != "Constant")
