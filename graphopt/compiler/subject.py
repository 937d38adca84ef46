"""A model that is being made smaller: its data, what wins its answers back, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import onnx_ir as ir

from graphopt.calibration.labels import Labels
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data, open_samples
from graphopt.calibration.split import Split, split
from graphopt.calibration.views import with_views
from graphopt.compiler.opening import open_model
from graphopt.compiler.optimize import Shapes
from graphopt.compiler.recovery import Recovery
from graphopt.compiler.steps import Steps
from graphopt.distillation.distill import distill
from graphopt.distillation.recipe import Recipe
from graphopt.inspect.accuracy import accuracy
from graphopt.inspect.fidelity import compare
from graphopt.ir.load import Source
from graphopt.ir.shapes import free_dimensions, infer_shapes
from graphopt.pruning.budget import Measure
from graphopt.pruning.cost import count, counted
from graphopt.pruning.recovery.recover import refit
from graphopt.pruning.report import State
from graphopt.targets import Target


@dataclass(frozen=True)
class Subject:
    """A model behind its passes.

    Attributes:
        model: with shapes; stays as it is.
        data: in two parts, if there are any.
        shapes: of the inputs whose dimensions are free beyond the batch.
        threads: of onnxruntime and PyTorch.
        steps: who watches.

    """

    model: ir.Model
    data: Split | None
    shapes: Shapes
    threads: int
    steps: Steps

    def static(self, model: ir.Model) -> ir.Model:
        """Return a copy of a model with static shapes, in which all can be counted."""
        static = counted(model, self.shapes)
        infer_shapes(static)
        return static

    def state(self, changed: ir.Model) -> State:
        """Return what a model made of this one costs, and how it answers samples that nothing was fitted to."""
        static = self.static(changed)
        state = State(
            macs=count(Measure.MACS, static),
            flops=count(Measure.FLOPS, static),
            parameters=count(Measure.PARAMS, static),
            bytes=count(Measure.BYTES, static),
        )
        data = self.data
        if data is None:
            return state
        fidelity = right = None
        with self.steps.step("compare", data.held_out.count) as done:
            if changed is not self.model:
                fidelity = compare(self.model, changed, data.held_out, threads=self.threads, on_samples=done)
            if data.labels is not None:
                right = accuracy(changed, data.held_out, data.labels, threads=self.threads)
        return replace(state, fidelity=fidelity, accuracy=right)

    def outcome(self, states: Sequence[State]) -> dict[str, Any]:
        """Return what every `StagesReport` says of how it went, by its attribute; of the model at each stage."""
        return {
            "samples": 0 if self.data is None else self.data.count,
            "held_out": 0 if self.data is None else self.data.held,
            "before": states[0],
            "recovered": states[2] if len(states) > 2 else None,
            "seconds": self.steps.seconds,
        }

    def recovered(self, changed: ir.Model, recovery: Recovery, recipe: Recipe) -> ir.Model | None:
        """Return a copy of a model made of this one, fitted to its answers; None where that is not asked for."""
        data = self.data
        if data is None or recovery is Recovery.NONE:
            return None
        fitted = changed.clone()
        with self.steps.step("fit layers"):
            told = partial(self.steps.on_progress, "fit layers")
            refit(self.model, fitted, with_views(data.fitted), threads=self.threads, on_progress=told)
        return self.distilled(fitted, recipe, data) if recovery is Recovery.DISTILL else fitted

    def distilled(self, student: ir.Model, recipe: Recipe, data: Split) -> ir.Model:
        """Return a model made of this one, trained to answer as it does."""
        with self.steps.step("distill"):
            return distill(
                self.model,
                student,
                data.fitted,
                recipe,
                labels=data.fitted_labels,
                threads=self.threads,
                on_progress=lambda what, done, total: self.steps.on_progress(f"distill, {what}", done, total),
            ).model


def open_subject(  # noqa: PLR0913  # all that a driver is asked
    model: Source,
    data: Data | None,
    labels: Labels | None,
    limit: int | None,
    *,
    shapes: Shapes | None,
    preprocessing: str | Preprocessing | None,
    pipeline: str,
    target: Target,
    threads: int,
    steps: Steps,
    seed: int = 0,
) -> Subject:
    """Put a model through its passes, and open its data; the drivers say what each argument means."""
    optimized, given, _ = open_model(model, preprocessing, pipeline, steps, target=target)
    parts = None if data is None else split(open_samples(data, optimized, given), labels, limit, seed=seed)
    return Subject(optimized, parts, shapes or _shapes_of_first(optimized, parts), threads, steps)


def _shapes_of_first(model: ir.Model, data: Split | None) -> Shapes:
    """Return the shapes of inputs as the first sample has them, where more than the batch is free."""
    free = {name for name, dims in free_dimensions(model).items() if set(dims) != {0}}
    if data is None or not free:
        return {}
    first = next(iter(data.fitted.part(0, 1)))
    return {name: (1, *first[name].shape[1:]) for name in free}
