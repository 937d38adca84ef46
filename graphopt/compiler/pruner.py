"""The steps of a pruning, from a model that went through its passes to the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.calibration.drawn import draw
from graphopt.calibration.statistics import Statistics
from graphopt.calibration.views import with_views
from graphopt.compiler.recovery import Recovery
from graphopt.compiler.subject import Subject
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Coupling
from graphopt.coupling.shrink import shrink
from graphopt.distillation.recipe import Recipe
from graphopt.errors import MeasurementError, ModelError
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
from graphopt.pruning.report import PruningReport, frozen_layers, layers_changed
from graphopt.pruning.room import Room, rooms_for, settle
from graphopt.pruning.search import Scored, Search, by_latency, exactly, remark
from graphopt.pruning.trial import Trials
from graphopt.pruning.width import Snap, vector_width
from graphopt.targets import Target

RANKED = 512
"""How many samples tell what layers multiply; what is left is fitted to all of them."""

TRIED = 48
"""How many held-out samples tell better widths from worse."""

EPOCHS = 60
"""How often a training goes through the samples where nothing is said."""


@dataclass(frozen=True)
class Request:
    """What was asked for; `graphopt.compiler.prune.prune` says what each means."""

    budget: Budget
    criterion: Criterion
    recovery: Recovery
    recipe: Recipe | None
    snaps: tuple[Snap, ...]
    target: Target
    measure: bool
    pipeline: str
    seed: int


class Pruned(NamedTuple):
    """A pruned model and the report of how it became one."""

    model: ir.Model
    report: PruningReport


class _Ranked(NamedTuple):
    """What is known of the channels.

    Attributes:
        coupling: which can only leave together.
        grams: of what the layers multiply.
        scores: of the channels of each group, by the criterion.

    """

    coupling: Coupling
    grams: Statistics
    scores: Mapping[str, Float64]


class _Chosen(NamedTuple):
    """The widths of groups, what they snap to, and what a user should know of them."""

    widths: Widths
    snap: Snap
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruner:
    """One pruning, step by step."""

    request: Request
    subject: Subject

    def run(self) -> Pruned:
        """Prune the subject."""
        model, request = self.subject.model, self.request
        with self.subject.steps.step("find groups"):
            coupling = couple(model)
        if not coupling.groups:
            raise ModelError(_why_nothing(model, coupling))
        ranked = self._rank(coupling)
        chosen = self._choose(ranked)
        plan = Plan.of(ranked.scores, chosen.widths, str(request.criterion), str(request.budget))
        pruned = model.clone()
        plan.apply(pruned, coupling)
        recovered = self._recovered(coupling, pruned, plan)
        return Pruned(recovered or pruned, self._report(coupling, chosen, plan, pruned, recovered))

    def _rank(self, coupling: Coupling) -> _Ranked:
        data, threads = self.subject.data, self.subject.threads
        grams = self._observe(coupling)
        evidence = Evidence(grams, None if data is None else data.fitted, seed=self.request.seed, threads=threads)
        with self.subject.steps.step("rank channels"):
            scores = score(self.request.criterion, self.subject.model, coupling, evidence)
        return _Ranked(coupling, grams, scores)

    def _without(self, ranked: _Ranked, widths: Widths) -> ir.Model:
        """Return the model with groups of such widths."""
        smaller = self.subject.model.clone()
        shrink(smaller, ranked.coupling, removed(orders_of(ranked.scores), widths))
        return smaller

    def _observe(self, coupling: Coupling) -> Statistics:
        """Return what layers multiply, where it ranks channels, or what is left is fitted."""
        subject, data = self.subject, self.subject.data
        is_wanted = self.request.criterion in NEEDS_GRAMS or self.request.recovery is not Recovery.NONE
        if data is None or not is_wanted:
            return Statistics()
        samples = with_views(draw(data.fitted, RANKED, seed=self.request.seed))
        with subject.steps.step("calibrate", samples.count) as done:
            return collect(subject.model, samples, (), measured(coupling), threads=subject.threads, progress=done)

    def _choose(self, ranked: _Ranked) -> _Chosen:
        """Choose widths that the budget allows; raises PipelineError where there are none."""
        budget, shapes = self.request.budget, self.subject.shapes
        static, groups = counted(self.subject.model, shapes), ranked.coupling.groups
        channels = {group.name: len(group.channels) for group in groups}
        if budget.measure is Measure.LATENCY:
            cost = cost_of(Measure.MACS, static, groups, vector_width(self.request.target))
            room = rooms_for(cost, cost.whole - 1, channels, self.request.snaps)[0]
            choose = self._chooser(self._search(ranked, cost, room), room)
            return _Chosen(self._choose_by_latency(ranked, cost, room, choose), room.snap)
        cost = cost_of(budget.measure, static, groups)
        limit = budget.limit(cost.whole)
        rooms = rooms_for(cost, limit, channels, self.request.snaps)
        search = self._search(ranked, cost, rooms[-1])
        with self.subject.steps.step("try widths"):
            room = settle(cost, limit, rooms, search.curves)
        widths = exactly(
            self._chooser(search, room),
            limit,
            lambda found: count(budget.measure, counted(self._without(ranked, found), shapes)),
        )
        note = remark(cost, limit, widths, room.snap)
        return _Chosen(widths, room.snap, () if note is None else (note,))

    def _search(self, ranked: _Ranked, cost: Cost, room: Room) -> Search:
        model, data, steps = self.subject.model, self.subject.data, self.subject.steps
        if data is None:
            return Scored(cost, room, ranked.scores)
        refit = Refit(model, ranked.grams.grams)
        tried = draw(data.held_out, TRIED, seed=self.request.seed)
        orders, threads = orders_of(ranked.scores), self.subject.threads
        trials = Trials(model, ranked.coupling, orders, tried, refit, threads=threads)
        return Measured(cost, room, trials, partial(steps.on_progress, "try widths"))

    def _chooser(self, search: Search, room: Room) -> Callable[[float], dict[str, int]]:
        def choose(limit: float) -> dict[str, int]:
            with self.subject.steps.step("try widths"):
                return search.choose(room, limit)

        return choose

    def _choose_by_latency(
        self, ranked: _Ranked, cost: Cost, room: Room, choose: Callable[[float], dict[str, int]]
    ) -> dict[str, int]:
        before, _ = self._milliseconds(self.subject.model)
        want = self.request.budget.limit(before)

        def latency(widths: Widths) -> float:
            """Return milliseconds, relative to those of the model in the same minute."""
            whole, smaller = self._milliseconds(self._without(ranked, widths))
            return smaller * before / whole

        found = by_latency(choose, latency, want, before, cost, room)
        if found is None:
            raise MeasurementError(
                f"no widths were found that take {want:.3g} ms instead of {before:.3g}; ask for less, or say macs="
            )
        return found

    def _milliseconds(self, other: ir.Model) -> tuple[float, float]:
        """Return how long a run of the programs of the model and of another takes."""
        from graphopt.compiler.latency import latencies  # noqa: PLC0415  # the compiler takes seconds to import

        subject = self.subject
        with subject.steps.step("measure latency"):
            whole, smaller = latencies([subject.model, other], self.request.target, subject.shapes)
        return whole.median, smaller.median

    def _recovered(self, coupling: Coupling, pruned: ir.Model, plan: Plan) -> ir.Model | None:
        """Return the model with what is left fitted to what there was; None where that is not asked for."""
        subject, data, recovery = self.subject, self.subject.data, self.request.recovery
        if data is None or recovery is Recovery.NONE:
            return None
        fitted = pruned.clone()
        with subject.steps.step("fit layers"):
            recover(
                subject.model,
                fitted,
                coupling,
                plan.removal,
                with_views(data.fitted),
                threads=subject.threads,
                on_progress=partial(subject.steps.on_progress, "fit layers"),
            )
        if recovery is not Recovery.DISTILL:
            return fitted
        return subject.distilled(fitted, self.request.recipe or recipe_for(fitted), data)

    def _report(
        self, coupling: Coupling, chosen: _Chosen, plan: Plan, pruned: ir.Model, recovered: ir.Model | None
    ) -> PruningReport:
        request, subject = self.request, self.subject
        states = [subject.state(model) for model in (subject.model, pruned, recovered) if model is not None]
        if request.measure or request.budget.measure is Measure.LATENCY:
            times = self._milliseconds(recovered or pruned)
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
            pruned=states[1],
            layers=tuple(layers_changed(whole, smaller)),
            frozen=dict(frozen_layers(subject.model, coupling)),
            notes=chosen.notes,
            **subject.outcome(states),
        )


def recipe_for(student: ir.Model) -> Recipe:
    """Return how a pruned model is trained where nothing is said: for long, and images are mixed, as there are few.

    The teacher says what a mixture is, whatever the images show; not every image may be turned or cut.
    """
    inputs = [value for value in student.graph.inputs if not value.is_initializer()]
    is_image = len(inputs) == 1 and inputs[0].dtype is ir.DataType.FLOAT and len(inputs[0].shape or ()) == 4
    return Recipe(epochs=EPOCHS, augment=("mixup",) if is_image else ())


def _why_nothing(model: ir.Model, coupling: Coupling) -> str:
    reason = next((reason for _, reason in frozen_layers(model, coupling)), "it has no layers whose channels could")
    return f"no channel can leave model {model.graph.name!r}: {reason}; leave it as it is"
