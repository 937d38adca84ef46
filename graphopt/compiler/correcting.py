"""Taking away the means that quantization adds, where the answers to other samples say that it helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.compiler.steps import Steps
from graphopt.inspect.fidelity import Judge
from graphopt.quantization.bias_correction import checkpoints, correct_biases, mean_sums
from graphopt.quantization.emit import emit
from graphopt.quantization.obstacles import BIASED
from graphopt.quantization.partial import results_of
from graphopt.quantization.plan import Plan
from graphopt.quantization.rows import Float64
from graphopt.quantization.scheme import Scheme
from graphopt.tensors import Feeds

BEHIND = 1, 8
"""How many layers, spread evenly, are tried to correct. Each corrects what few samples say: of all layers together,
that made the answers of most networks worse."""


@dataclass(frozen=True)
class Corrector:
    """Corrects the biases of plans for one model.

    Attributes:
        model: in float32.
        scheme: of the plans.
        seen: the samples that means are measured on, few: they are held.
        others: those that tell whether it helps.
        threads: of onnxruntime; 0 means as many as this process may run on.
        steps: told of it.

    """

    model: ir.Model
    scheme: Scheme
    seen: Sequence[Feeds]
    others: Sequence[Feeds]
    threads: int
    steps: Steps

    def correct(self, plan: Plan, layers: list[str]) -> Plan:
        """Return the best of a plan and of those with some of the layers, named by their first outputs, corrected."""
        means = self._means(plan, layers)
        if not means:
            return plan
        judge = Judge(self.model, self.others, threads=self.threads)
        best, least = plan, self._error(plan, judge) * (1 - 1 / (2 * judge.samples))
        with self.steps.step("correct biases", len(BEHIND)) as done:
            for tried, count in enumerate(BEHIND, start=1):
                expected = {name: means[name] for name in checkpoints(list(means), count)}
                found = correct_biases(self.model, plan, self.scheme.form, expected, self.seen, threads=self.threads)
                if (error := self._error(found, judge)) < least:
                    best, least = found, error
                done(tried)
        return best

    def _means(self, plan: Plan, layers: list[str]) -> dict[str, Float64]:
        """Return what each layer makes on average in float32, channel by channel."""
        made = results_of(self.model, plan)
        nodes = {str(node.outputs[0].name): node for node in self.model.graph if node.op_type in BIASED}
        named = [name for name in made if name in layers and name in nodes]
        grams = collect(self.model, self.seen, (), named, threads=self.threads).grams
        return {name: mean_sums(nodes[name], grams[name].mean) for name in named}

    def _error(self, plan: Plan, judge: Judge) -> float:
        quantized = self.model.clone()
        emit(quantized, plan, self.scheme.form)
        return judge.error(quantized)
