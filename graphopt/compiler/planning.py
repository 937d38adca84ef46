"""From what calibration saw to a plan: the best of several, by what they do to the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from graphopt.calibration.drawn import draw, select
from graphopt.calibration.ranges import Range, RangeMethod, choose_range
from graphopt.calibration.source import Samples
from graphopt.calibration.statistics import Statistics
from graphopt.compiler.correcting import Corrector
from graphopt.compiler.steps import Steps
from graphopt.inspect.fidelity import Judge
from graphopt.quantization.affine import Reals, limits_of
from graphopt.quantization.contest import Ranges, best_ranges, trials
from graphopt.quantization.decide import decide
from graphopt.quantization.emit import emit
from graphopt.quantization.plan import Plan
from graphopt.quantization.refine import measurable, refine
from graphopt.quantization.scheme import Scheme
from graphopt.quantization.selection import Selection
from graphopt.quantization.unsaturate import without_saturation

TRIED = 32
"""How many samples, drawn from all of them, tell better ranges from worse."""

FEWEST = 8
"""Of fewer samples, means say nothing, and errors little."""


@dataclass(frozen=True)
class Planner:
    """Makes the plan for one model.

    Attributes:
        model: in float32.
        selection: of its nodes and values.
        statistics: of the values, and of what the products multiply.
        scheme: the integers to use.
        method: how to choose ranges; `auto` tries all, and fits weights.
        threads: of onnxruntime; 0 means as many as this process may run on.
        steps: told of each.
        divisors: of the channels of its activations, where the model has scales moved (`migrating`).

    """

    model: ir.Model
    selection: Selection
    statistics: Statistics
    scheme: Scheme
    method: RangeMethod
    threads: int
    steps: Steps
    divisors: Mapping[str, Reals] = field(default_factory=dict)

    def first_error(self, judge: Judge) -> float:
        """Return the error of the answers with the ranges of least square error and weights rounded to the nearest."""
        return self._error(self._decided(self._ranges([RangeMethod.MSE])[RangeMethod.MSE]), judge)

    def plan(self, samples: Samples | None) -> Plan:
        """Decide all for one way to choose ranges, fit weights where that helps the answers, then try other ranges.

        Without samples, or by another method than `auto`, it stays with the first.
        """
        tried = [one for one in RangeMethod if self.method in {one, RangeMethod.AUTO} and one is not RangeMethod.AUTO]
        candidates = self._ranges(tried)
        if samples is None or self.method is not RangeMethod.AUTO:
            return self._decided(candidates[next(iter(candidates))])
        first = self._decided(candidates[RangeMethod.MSE])
        judge = Judge(self.model, draw(samples, TRIED), threads=self.threads)
        plan = min((first, self._fitted(first)), key=lambda one: self._error(one, judge))
        if not self.statistics.histograms:
            return plan
        best = self._decided(self._best(candidates, plan, judge))
        if best.weights == first.weights:
            plan = replace(plan, values=best.values)
        else:  # a bias had too little room
            plan = best if plan is first else self._fitted(best)
        return self._corrected(plan, samples)

    def _decided(self, ranges: Ranges) -> Plan:
        plan = decide(self.selection, ranges, self.scheme)
        return without_saturation(self.model, plan) if self.scheme.avoid_saturation else plan

    def _error(self, plan: Plan, judge: Judge) -> float:
        quantized = self.model.clone()
        emit(quantized, plan, self.scheme.form)
        return judge.error(quantized)

    def _ranges(self, methods: Sequence[RangeMethod]) -> dict[str, dict[str, Range]]:
        """Return the ranges of each value, by method."""
        candidates: dict[str, dict[str, Range]] = {method: {} for method in methods}
        with self.steps.step("choose ranges", len(self.statistics.histograms)) as done:
            for count, (name, histogram) in enumerate(self.statistics.histograms.items(), start=1):
                for method in methods:
                    found = choose_range(histogram, method, self._levels, self.scheme.symmetric)
                    candidates[method][name] = found
                done(count)
        return candidates

    @property
    def _levels(self) -> int:
        least, greatest = limits_of(self.scheme.activation_dtype)
        return greatest - least + 1

    def _fitted(self, plan: Plan) -> Plan:
        with self.steps.step("fit weights", len(self.selection.products)) as done:
            return refine(plan, self.selection, self.statistics.grams, self.scheme, done)

    def _corrected(self, plan: Plan, samples: Samples) -> Plan:
        """Take away means that quantization adds, where there are as many other samples to tell whether it helps."""
        count = min(TRIED, (samples.count or 0) // 2)
        if count < FEWEST:
            return plan
        drawn = draw(samples, 2 * count)
        seen, others = (list(select(drawn, range(first, 2 * count, 2))) for first in (0, 1))
        corrector = Corrector(self.model, self.scheme, seen, others, self.threads, self.steps)
        return corrector.correct(plan, measurable(self.selection))

    def _best(self, candidates: Mapping[str, Ranges], plan: Plan, judge: Judge) -> Ranges:
        """Return the best of several ways to choose ranges, as measured by the answers to a few samples."""
        tried = 0
        with self.steps.step("try ranges", trials(len(candidates), len(self.selection.sources))) as done:

            def error(ranges: Ranges) -> float:
                nonlocal tried
                tried += 1
                done(tried)
                return self._error(replace(plan, values=decide(self.selection, ranges, self.scheme).values), judge)

            return best_ranges(candidates, error, chance=1 / (2 * judge.samples))[0]
