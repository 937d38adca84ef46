"""`graphopt.shorten`: a model with fewer blocks and layers, from data without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.drawn import draw
from graphopt.calibration.labels import Labels
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data
from graphopt.calibration.split import Split
from graphopt.compiler.optimize import Shapes, optimize
from graphopt.compiler.recovery import Recovery, recovery_of
from graphopt.compiler.steps import Progress, Steps
from graphopt.compiler.subject import Subject, open_subject
from graphopt.distillation.recipe import Recipe, parse_recipe
from graphopt.errors import ModelError, PipelineError
from graphopt.inspect.fidelity import Judge
from graphopt.ir.load import Source
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pruning.blocks.bypass import remove
from graphopt.pruning.blocks.choose import Network, Removed, choose
from graphopt.pruning.blocks.find import find
from graphopt.pruning.budget import Amount, Budget, Measure, one_budget
from graphopt.pruning.cost import count
from graphopt.pruning.report import StagesReport, State
from graphopt.targets import parse_target

TRIED = 64
"""How many held-out samples tell dear blocks from cheap ones, drawn from all of these."""


@dataclass(frozen=True, kw_only=True)
class ShorteningReport(StagesReport):
    """What was left out; what is not said here, `StagesReport` says.

    Attributes:
        removed: the blocks that left, in order.
        shortened: the model without them, through the pipeline again.

    """

    removed: tuple[Removed, ...]
    shortened: State

    @property
    def after(self) -> State:
        """The last stage."""
        return self.recovered or self.shortened

    @property
    def pass_text(self) -> str:
        """The pass that removes the same from the model behind the pipeline."""
        outputs, sources = zip(*(one.bypass for one in self.removed), strict=True)
        return f"remove-blocks{{outputs={','.join(outputs)} sources={','.join(sources)}}}"


class Shortened(NamedTuple):
    """A shortened model and the report of how it became one."""

    model: ir.Model
    report: ShorteningReport


def shorten(  # noqa: PLR0913  # all that it can be asked
    model: Source,
    data: Data,
    *,
    macs: Amount | None = None,
    flops: Amount | None = None,
    params: Amount | None = None,
    bytes: Amount | None = None,  # noqa: A002  # the measure's name
    recover: str | Recovery | None = None,
    recipe: str | Recipe = Recipe(),  # noqa: B008  # frozen
    labels: Labels | None = None,
    shapes: Shapes | None = None,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Shortened:
    """Take residual blocks and single layers out of a model until a budget is met; what is given stays untouched.

    The model goes through a pipeline of passes. Wherever what a node makes has the shape of what it reads, the latter
    could stand in: x for x + f(x), for x · g(x), for f(x). That is done where it costs the answers to samples that
    nothing is fitted to least for what it saves, one by one. What is left is fitted to what there was.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: without labels (`graphopt.calibration.source.open_samples`).
        macs, flops, params, bytes: the budget, one of them: `-20%` or -0.2 for so much less, `80%` or 0.8 for what
            stays, or an amount, as `300M` or `1.5MB`.
        recover: `none`, `least-squares` or `distill`; `least-squares` by default.
        recipe: of training (`graphopt.distillation.recipe`).
        labels: the class of each sample; the report then has accuracies, and `distill` learns from them too.
        shapes: of inputs, where more than the batch is free; by default those of the first sample.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before, and again on what is left.
        threads: of onnxruntime and PyTorch; 0 means as many as this process may run on.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or nothing can be left out of it.
        PipelineError: the pipeline, or a budget that is none or cannot be met.
        CalibrationError: the data, the labels or the recovery.
        TargetError: PyTorch is missing.
        TrainingError: the recipe.
        PassFailureError: a pass failed.

    """
    budget = one_budget({Measure.MACS: macs, Measure.FLOPS: flops, Measure.PARAMS: params, Measure.BYTES: bytes})
    recovery = recovery_of(recover, has_data=True)
    read = parse_recipe(recipe) if isinstance(recipe, str) else recipe
    subject = open_subject(
        model,
        data,
        labels,
        limit,
        shapes=shapes,
        preprocessing=preprocessing,
        pipeline=pipeline,
        target=parse_target("cpu"),
        threads=threads,
        steps=Steps.of(on_progress),
    )
    if subject.data is None:
        raise ValueError("there are no samples")
    removed = _chosen(subject, subject.data, budget)
    shortened = subject.model.clone()
    remove(shortened, [one.bypass for one in removed])
    shortened, _ = optimize(shortened, pipeline)
    infer_shapes(shortened)
    verify(shortened)
    recovered = subject.recovered(shortened, recovery, read)
    states = [subject.state(each) for each in (subject.model, shortened, recovered) if each is not None]
    report = ShorteningReport(
        request=str(budget),
        recovery=str(recovery),
        pipeline=pipeline,
        removed=tuple(removed),
        shortened=states[1],
        **subject.outcome(states),
    )
    return Shortened(recovered or shortened, report)


def _chosen(subject: Subject, data: Split, budget: Budget) -> list[Removed]:
    """Return the blocks that leave; raises ModelError where there are none, PipelineError where they are too few."""

    def cost(shorter: ir.Model) -> int:
        return count(budget.measure, shorter)

    static = subject.static(subject.model)
    before = cost(static)
    limit = budget.limit(before)
    with subject.steps.step("find blocks"):
        found = list(find(static, cost))
    if not found:
        raise ModelError(
            f"nothing can be left out of model {subject.model.graph.name!r}: no node that costs {budget.measure} makes "
            "what has the shape of what it reads; prune channels instead"
        )
    judge = Judge(subject.model, draw(data.held_out, TRIED), threads=subject.threads)
    network = Network(subject.model, static, cost, lambda shorter: judge.error(shorter) ** 2)
    with subject.steps.step("try blocks") as done:
        removed = choose(network, found, limit, done)
    left = before - sum(one.saved for one in removed)
    if left > limit:
        raise PipelineError(
            f"{budget} asks for more than leaving blocks out saves, {1 - left / before:.0%} of {budget.measure}; ask "
            "for less, or prune channels too"
        )
    return removed
