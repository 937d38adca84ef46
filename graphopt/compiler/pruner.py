"""The steps of a pruning, from a model that went through its passes to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.calibration.drawn import draw
from graphopt.calibration.split import Split
from graphopt.calibration.statistics import Statistics
from graphopt.compiler.optimize import Shapes
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Coupling
from graphopt.coupling.shrink import shrink
from graphopt.distillation.distill import distill
from graphopt.distillation.recipe import Recipe
from graphopt.errors import MeasurementError, ModelError
from graphopt.inspect.accuracy import accuracy
from graphopt.inspect.fidelity import compare
from graphopt.ir.shapes import free_dimensions
from graphopt.pruning.budget import Budget, Measure
from graphopt.pruning.cost import Cost, Widths, cost_of, count, counted
from graphopt.pruning.curves import Float64
from graphopt.pruning.importance.criterion import NEEDS_GRAMS, Criterion, score
from graphopt.pruning.importance.evidence import Evidence, measured
from graphopt.pruning.measured import Measured
from graphopt.pruning.plan import Plan
from graphopt.pruning.ranking import orders_of, removed
from graphopt.pruning.recovery.recover import recover
from graphopt.pruning.refit import Refit
from graphopt.pruning.report import PruningReport, State, frozen_layers, layers_changed
from graphopt.pruning.search import Room, by_latency, by_score, exactly, remark, room_for
from graphopt.pruning.trial import Trials
from graphopt.pruning.width import Snap, vector_width
from graphopt.targets import Target

RANKED = 512
"""How many samples tell what layers multiply; what is left is fitted to all of them."""

TRIED = 48
"""How many held-out samples tell better widths from worse."""

EPOCHS = 60
"""How often a training goes through the samples where nothing is said."""

Progress = Callable[[str, int, int | None], None]
"""Told of each step how much of it is done, and how much there is where that is known."""


class Recovery(StrEnum):
    """How what is left is fitted to the answers of the model before.

    Members:
        NONE: not at all.
        LEAST_SQUARES: layer by layer in closed form (`graphopt.pruning.recovery`).
        DISTILL: so, and then trained as a whole with the model before as its teacher (`graphopt.distillation`).

    """

    NONE = "none"
    LEAST_SQUARES = "least-squares"
    DISTILL = "distill"


@dataclass(frozen=True)
class Request:
    """What was asked for; `graphopt.compiler.prune.prune` says what each means."""

    budget: Budget
    criterion: Criterion
    recovery: Recovery
    recipe: Recipe | None
    snaps: tuple[Snap, ...]
    target: Target
    shapes: Shapes | None
    measure: bool
    pipeline: str
    threads: int
    seed: int


class Pruned(NamedTuple):
    """A pruned model and the report of how it became one."""

    model: ir.Model
    report: PruningReport


class _Subject(NamedTuple):
    """What is pruned, and what is known of it.

    Attributes:
        model: behind the passes, with shapes.
        coupling: of its channels.
        data: if there are any.
        shapes: of the inputs whose dimensions are free beyond the batch.
        grams: of what its layers multiply.
        scores: of the channels of each group, by the criterion.

    """

    model: ir.Model
    coupling: Coupling
    data: Split | None
    shapes: Shapes
    grams: Statistics
    scores: Mapping[str, Float64]

    def without(self, widths: Widths) -> ir.Model:
        """Return the model with groups of such widths."""
        smaller = self.model.clone()
        shrink(smaller, self.coupling, removed(orders_of(self.scores), widths))
        return smaller


class _Chosen(NamedTuple):
    """The widths of groups, what they snap to, and what a user should know of them."""

    widths: Widths
    snap: Snap
    notes: tuple[str, ...] = ()


@dataclass
class Pruner:
    """One pruning, step by step."""

    request: Request
    on_progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, model: ir.Model, data: Split | None) -> Pruned:
        """Prune a model that has shapes."""
        with self.step("find groups"):
            coupling = couple(model)
        if not coupling.groups:
            raise ModelError(_why_nothing(model, coupling))
        subject = self._look_at(model, coupling, data)
        chosen = self._choose(subject)
        request = self.request
        plan = Plan.of(subject.scores, chosen.widths, str(request.criterion), str(request.budget))
        pruned = model.clone()
        plan.apply(pruned, coupling)
        recovered = self._recovered(subject, pruned, plan)
        return Pruned(recovered or pruned, self._report(subject, chosen, plan, pruned, recovered))

    def _look_at(self, model: ir.Model, coupling: Coupling, data: Split | None) -> _Subject:
        shapes = self.request.shapes or _shapes_of_first(model, data)
        grams = self._observe(model, coupling, data)
        evidence = Evidence(grams, None if data is None else data.fitted, seed=self.request.seed, threads=self.threads)
        with self.step("rank channels"):
            scores = score(self.request.criterion, model, coupling, evidence)
        return _Subject(model, coupling, data, shapes, grams, scores)

    def _observe(self, model: ir.Model, coupling: Coupling, data: Split | None) -> Statistics:
        """Return what layers multiply, where it ranks channels, or what is left is fitted."""
        is_wanted = self.request.criterion in NEEDS_GRAMS or self.request.recovery is not Recovery.NONE
        if data is None or not is_wanted:
            return Statistics()
        samples = draw(data.fitted, RANKED, seed=self.request.seed)
        with self.step("calibrate", min(data.count - data.held, RANKED)) as done:
            return collect(model, samples, (), measured(coupling), threads=self.threads, progress=done)

    def _choose(self, subject: _Subject) -> _Chosen:
        """Choose widths that the budget allows; raises PipelineError where there are none."""
        budget = self.request.budget
        static, groups = counted(subject.model, subject.shapes), subject.coupling.groups
        channels = {group.name: len(group.channels) for group in groups}
        if budget.measure is Measure.LATENCY:
            cost = cost_of(Measure.MACS, static, groups, vector_width(self.request.target))
            room = room_for(cost, cost.whole - 1, channels, self.request.snaps)
            choose = self._chooser(subject, cost, room)
            return _Chosen(self._choose_by_latency(subject, cost, room, choose), room.snap)
        cost = cost_of(budget.measure, static, groups)
        limit = budget.limit(cost.whole)
        room = room_for(cost, limit, channels, self.request.snaps)
        choose = self._chooser(subject, cost, room)
        widths = exactly(
            choose, limit, lambda found: count(budget.measure, counted(subject.without(found), subject.shapes))
        )
        note = remark(cost, limit, widths, room.snap)
        return _Chosen(widths, room.snap, () if note is None else (note,))

    def _chooser(self, subject: _Subject, cost: Cost, room: Room) -> Callable[[float], dict[str, int]]:
        if subject.data is None:
            return partial(by_score, cost, room=room, scores=subject.scores)
        refit = Refit(subject.model, subject.grams.grams)
        tried = draw(subject.data.held_out, TRIED, seed=self.request.seed)
        trials = Trials(subject.model, subject.coupling, orders_of(subject.scores), tried, refit, threads=self.threads)

        def choose(limit: float) -> dict[str, int]:
            with self.step("try widths"):
                return search.choose(limit)

        search = Measured(cost, room, trials, partial(self.on_progress, "try widths"))
        return choose

    def _choose_by_latency(
        self, subject: _Subject, cost: Cost, room: Room, choose: Callable[[float], dict[str, int]]
    ) -> dict[str, int]:
        before, _ = self._milliseconds(subject, subject.model)
        want = self.request.budget.limit(before)

        def latency(widths: Widths) -> float:
            """Return milliseconds, relative to those of the model in the same minute."""
            whole, smaller = self._milliseconds(subject, subject.without(widths))
            return smaller * before / whole

        found = by_latency(choose, latency, want, before, cost, room)
        if found is None:
            raise MeasurementError(
                f"no widths were found that take {want:.3g} ms instead of {before:.3g}; ask for less, or say macs="
            )
        return found

    def _milliseconds(self, subject: _Subject, other: ir.Model) -> tuple[float, float]:
        """Return how long a run of the programs of the model and of another takes."""
        from graphopt.compiler.latency import latencies  # noqa: PLC0415  # the compiler takes seconds to import

        with self.step("measure latency"):
            whole, smaller = latencies([subject.model, other], self.request.target, subject.shapes)
        return whole.median, smaller.median

    def _recovered(self, subject: _Subject, pruned: ir.Model, plan: Plan) -> ir.Model | None:
        """Return the model with what is left fitted to what there was; None where that is not asked for."""
        data, recovery = subject.data, self.request.recovery
        if data is None or recovery is Recovery.NONE:
            return None
        fitted = pruned.clone()
        with self.step("fit layers"):
            recover(
                subject.model,
                fitted,
                subject.coupling,
                plan.removal,
                data.fitted,
                threads=self.threads,
                on_progress=partial(self.on_progress, "fit layers"),
            )
        return self._distilled(subject.model, fitted, data) if recovery is Recovery.DISTILL else fitted

    def _distilled(self, teacher: ir.Model, student: ir.Model, data: Split) -> ir.Model:
        with self.step("distill"):
            return distill(
                teacher,
                student,
                data.fitted,
                self.request.recipe or recipe_for(student),
                labels=data.fitted_labels,
                threads=self.threads,
                on_progress=lambda what, done, total: self.on_progress(f"distill, {what}", done, total),
            ).model

    def _report(
        self, subject: _Subject, chosen: _Chosen, plan: Plan, pruned: ir.Model, recovered: ir.Model | None
    ) -> PruningReport:
        request, data = self.request, subject.data
        states = [self._state(subject, model) for model in (subject.model, pruned, recovered) if model is not None]
        if request.measure or request.budget.measure is Measure.LATENCY:
            times = self._milliseconds(subject, recovered or pruned)
            states = [replace(states[0], latency=times[0])] + [
                replace(state, latency=times[1])
                for state in states[1:]  # values do not change the time
            ]
        whole, smaller = (counted(model, subject.shapes) for model in (subject.model, pruned))
        return PruningReport(
            request=str(request.budget),
            criterion=str(request.criterion),
            snap=chosen.snap,
            recovery=str(request.recovery),
            pipeline=request.pipeline,
            plan=plan,
            samples=0 if data is None else data.count,
            held_out=0 if data is None else data.held,
            before=states[0],
            pruned=states[1],
            recovered=states[2] if len(states) > 2 else None,
            layers=tuple(layers_changed(whole, smaller)),
            frozen=dict(frozen_layers(subject.model, subject.coupling)),
            notes=chosen.notes,
            seconds=self.seconds,
        )

    def _state(self, subject: _Subject, model: ir.Model) -> State:
        static = counted(model, subject.shapes)
        state = State(
            macs=count(Measure.MACS, static),
            flops=count(Measure.FLOPS, static),
            parameters=count(Measure.PARAMS, static),
            bytes=count(Measure.BYTES, static),
        )
        data = subject.data
        if data is None:
            return state
        fidelity = right = None
        with self.step("compare", data.held) as done:
            if model is not subject.model:
                fidelity = compare(subject.model, model, data.held_out, threads=self.threads, on_samples=done)
            if data.labels is not None:
                right = accuracy(model, data.held_out, data.labels, threads=self.threads)
        return replace(state, fidelity=fidelity, accuracy=right)

    @property
    def threads(self) -> int:
        """Of onnxruntime and PyTorch."""
        return self.request.threads

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Measure a step; the body gets the function that says how much of it is done."""
        self.on_progress(name, 0, total)
        start = time.perf_counter()
        yield lambda done: self.on_progress(name, done, total)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def recipe_for(student: ir.Model) -> Recipe:
    """Return how a pruned model is trained where nothing is said: for long, and images are mixed, as there are few.

    The teacher says what a mixture is, whatever the images show; not every image may be turned or cut.
    """
    inputs = [value for value in student.graph.inputs if not value.is_initializer()]
    is_image = len(inputs) == 1 and inputs[0].dtype is ir.DataType.FLOAT and len(inputs[0].shape or ()) == 4
    return Recipe(epochs=EPOCHS, augment=("mixup",) if is_image else ())


def _shapes_of_first(model: ir.Model, data: Split | None) -> Shapes:
    """Return the shapes of inputs as the first sample has them, where more than the batch is free."""
    free = {name for name, dims in free_dimensions(model).items() if set(dims) != {0}}
    if data is None or not free:
        return {}
    first = next(iter(data.fitted.part(0, 1)))
    return {name: (1, *first[name].shape[1:]) for name in free}


def _why_nothing(model: ir.Model, coupling: Coupling) -> str:
    reason = next((reason for _, reason in frozen_layers(model, coupling)), "it has no layers whose channels could")
    return f"no channel can leave model {model.graph.name!r}: {reason}; leave it as it is"
