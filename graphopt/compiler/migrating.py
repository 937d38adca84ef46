"""Moving scale from activations into weights, where the answers say that it helps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

import onnx_ir as ir

from graphopt.calibration.drawn import draw
from graphopt.calibration.source import Samples
from graphopt.calibration.statistics import Statistics
from graphopt.compiler.planning import TRIED, Planner
from graphopt.inspect.fidelity import Judge
from graphopt.quantization.migration import divisors, migrate
from graphopt.quantization.obstacles import activations
from graphopt.quantization.selection import select


class Observe(Protocol):
    """Runs a model on the data, as `graphopt.calibration.collect.collect` does."""

    def __call__(self, model: ir.Model, *, values: Collection[str], grams: Collection[str]) -> Statistics:
        """Return the histograms and Gram matrices that are asked for."""


def migrated(planner: Planner, samples: Samples, observe: Observe) -> Planner:
    """Return the planner of the model with scales moved, or the given one where that costs the answers less.

    Only what has changed is observed again. Both are judged with the weights rounded to the nearest.
    """
    scales = divisors(planner.selection, planner.scheme.facts, planner.statistics)
    if not scales:
        return planner
    model = planner.model.clone()
    changed = migrate(model, scales)
    selection = select(model, planner.scheme)
    values = [str(value.name) for value in selection.sources if value.name in changed]
    readers = [
        str(node.outputs[0].name)
        for node in selection.products
        if node.outputs[0].name in planner.statistics.grams and activations(node)[0][1].name in changed
    ]
    found, before = observe(model, values=values, grams=readers), planner.statistics
    statistics = Statistics(
        before.samples,
        {**before.histograms, **found.histograms},
        {**before.extremes, **found.extremes},
        {**before.grams, **found.grams},
    )
    other = replace(planner, model=model, selection=selection, statistics=statistics, divisors=scales)
    judge = Judge(planner.model, draw(samples, TRIED), threads=planner.threads)
    return min((planner, other), key=lambda one: one.first_error(judge))
