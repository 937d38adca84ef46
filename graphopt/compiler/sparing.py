"""Mixed precision: few nodes stay in float32, so that the answers are as good as they have to be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.drawn import draw
from graphopt.calibration.source import Samples
from graphopt.compiler.planning import TRIED
from graphopt.compiler.steps import Steps
from graphopt.errors import CalibrationError
from graphopt.inspect.fidelity import Fidelity, Judge, compare
from graphopt.inspect.goal import Goal
from graphopt.ir.walk import label
from graphopt.quantization.emit import emit
from graphopt.quantization.partial import answer_error, narrow, results_of
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import Scheme
from graphopt.quantization.selection import Selection, select
from graphopt.quantization.sensitivity import costs_alone, spare_few


class Sparing(NamedTuple):
    """What is left in integers.

    Attributes:
        plan: for it.
        selection: of it.
        spared: the labels of the nodes that stay in float32, the most costly first.
        before: the answers with them in integers.

    """

    plan: Plan
    selection: Selection
    spared: tuple[str, ...]
    before: Fidelity | None


@dataclass(frozen=True)
class Sparer:
    """Chooses the nodes to spare in one model.

    Attributes:
        model: in float32.
        scheme: of the plan.
        samples: that the answers are measured on.
        threads: of onnxruntime; 0 means as many as this process may run on.
        steps: told of each.

    """

    model: ir.Model
    scheme: Scheme
    samples: Samples
    threads: int
    steps: Steps

    def spare(self, plan: Plan, selection: Selection, goal: Goal) -> Sparing:
        """Spare as few nodes as reach a goal, those first that cost the answers most when they alone are quantized.

        Raises:
            CalibrationError: nothing would be left in integers, or the answers cannot be measured.

        """
        before = self._measured(plan)
        if goal.excess(before) <= 0:
            return Sparing(plan, selection, (), before)
        moved = {str(node.outputs[0].name) for node in selection.moves}
        nodes = frozenset(results_of(self.model, plan)) - moved

        def excess(quantized: frozenset[str]) -> float:
            return goal.excess(self._measured(self._without(plan, nodes - quantized)[0]))

        ranking = self._ranking(plan, [name for name in results_of(self.model, plan) if name in nodes])
        with self.steps.step("spare nodes"):
            choice = spare_few(ranking, excess, 0.0)
        left, chosen = self._without(plan, choice.spared)
        if not chosen.products:
            raise CalibrationError(f"with integers in any node the answers do not have {goal}; ask for less")
        labels = {str(node.outputs[0].name): label(node) for node in selection.nodes}
        return Sparing(left, chosen, tuple(labels[name] for name in choice.spared), before)

    def _ranking(self, plan: Plan, nodes: list[str]) -> list[str]:
        """Return the nodes, the most costly first, as measured on a few samples."""
        judge = Judge(self.model, draw(self.samples, TRIED), threads=self.threads)
        with self.steps.step("rank nodes", len(nodes)) as done:
            costs = costs_alone(nodes, answer_error(self.model, plan, self.scheme.form, judge), done)
        return sorted(costs, key=lambda node: -costs[node])

    def _without(self, plan: Plan, spared: Collection[str]) -> tuple[Plan, Selection]:
        chosen = select(self.model, self.scheme, spared)
        return narrow(plan, chosen), chosen

    def _measured(self, plan: Plan) -> Fidelity | None:
        quantized = self.model.clone()
        emit(quantized, plan, self.scheme.form)
        return compare(self.model, quantized, self.samples, threads=self.threads)
