"""`graphopt.factorize`: a model whose large layers are chains of small ones, from data without labels or from none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.calibration.drawn import draw
from graphopt.calibration.gram import Gram
from graphopt.calibration.labels import Labels
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data
from graphopt.calibration.split import Split
from graphopt.compiler.factorization_report import FactoredLayer, FactorizationReport
from graphopt.compiler.optimize import Shapes
from graphopt.compiler.recovery import Recovery, recovery_of
from graphopt.compiler.steps import Progress, Steps
from graphopt.compiler.subject import Subject, open_subject
from graphopt.distillation.recipe import Recipe, parse_recipe
from graphopt.errors import ModelError, PipelineError
from graphopt.factorization.apply import apply, counted_layers, layers_of
from graphopt.factorization.candidates import Candidate, Judge, by_share, candidates
from graphopt.factorization.chain import Chain
from graphopt.factorization.choose import Found, choose
from graphopt.factorization.forms import FORMS
from graphopt.factorization.layer import Layer
from graphopt.factorization.moment import Moment
from graphopt.factorization.options import cost, options
from graphopt.factorization.write import write
from graphopt.inspect.fidelity import Judge as Fidelities
from graphopt.ir.edit import Names
from graphopt.ir.load import Source
from graphopt.ir.verify import verify
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pruning.budget import Amount, Budget, Measure, one_budget
from graphopt.pruning.cost import count
from graphopt.targets import Target, parse_target

TRIED = 64
"""How many held-out samples tell better forms from worse, drawn from all of these."""


class Factored(NamedTuple):
    """A factored model and the report of how it became one."""

    model: ir.Model
    report: FactorizationReport


def factorize(  # noqa: PLR0913  # all that it can be asked
    model: Source,
    data: Data | None = None,
    *,
    macs: Amount | None = None,
    params: Amount | None = None,
    bytes: Amount | None = None,  # noqa: A002  # the measure's name
    forms: Sequence[str] = (),
    recover: str | Recovery | None = None,
    recipe: str | Recipe = Recipe(),  # noqa: B008  # frozen
    target: str | Target = "cpu",
    labels: Labels | None = None,
    shapes: Shapes | None = None,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Factored:
    """Write convolutions and matrix products as chains of smaller ones until a budget is met.

    What is given stays untouched. The model goes through a pipeline of passes. Each Conv, Gemm and MatMul with a
    constant weight is tried in several forms (`graphopt.factorization.forms`) and ranks, each with the least error of
    what the layer makes of the data. Which layer takes which is chosen by the error of the answers to samples that
    nothing is fitted to, or by the errors of the weights where there are no data.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: without labels (`graphopt.calibration.source.open_samples`).
        macs, params, bytes: the budget, one of them: `-30%` or -0.3 for so much less, `70%` or 0.7 for what stays, or
            an amount, as `300M` or `1.5MB`.
        forms: those to try: `channel`, `spatial`, `tucker`, `cp`, `depthwise`; all by default.
        recover: `none`, `least-squares` or `distill`; `least-squares` by default where there are data.
        recipe: of training (`graphopt.distillation.recipe`).
        target: whose vectors ranks fill.
        labels: the class of each sample; the report then has accuracies, and `distill` learns from them too.
        shapes: of inputs, where more than the batch is free; by default those of the first sample.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before.
        threads: of onnxruntime and PyTorch; 0 means as many as this process may run on.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or no layer of it can be factored.
        PipelineError: the pipeline, a form, or a budget that is none or cannot be met.
        CalibrationError: the data, the labels, the recovery, or what needs data and has none.
        TargetError: the target, or PyTorch is missing.
        TrainingError: the recipe.
        PassFailureError: a pass failed.

    """
    facts = target if isinstance(target, Target) else parse_target(target)
    if unknown := [form for form in forms if form not in FORMS]:
        raise PipelineError(f"unknown form {unknown[0]!r} of a factored layer; there are {', '.join(FORMS)}")
    request = _Request(
        one_budget({Measure.MACS: macs, Measure.PARAMS: params, Measure.BYTES: bytes}),
        tuple(forms),
        recovery_of(recover, has_data=data is not None),
        parse_recipe(recipe) if isinstance(recipe, str) else recipe,
        facts.lanes(),
        pipeline,
    )
    subject = open_subject(
        model,
        data,
        labels,
        limit,
        shapes=shapes,
        preprocessing=preprocessing,
        pipeline=pipeline,
        target=facts,
        threads=threads,
        steps=Steps.of(on_progress),
    )
    return _factored(subject, request)


@dataclass(frozen=True)
class _Request:
    """What was asked for; `factorize` says what each means."""

    budget: Budget
    forms: tuple[str, ...]
    recovery: Recovery
    recipe: Recipe
    lanes: int
    pipeline: str


def _factored(subject: Subject, request: _Request) -> Factored:
    layers, refusals = counted_layers(subject.model, subject.static(subject.model), request.budget.measure)
    if not layers:
        node, reason = next(iter(refusals.items()), ("it", "it has no Conv, Gemm or MatMul"))
        raise ModelError(f"nothing in model {subject.model.graph.name!r} can be factored ({node}: {reason})")
    grams = _observe(subject, layers)
    found = _found(subject, request, layers, grams)
    chosen = _chosen(subject, request.budget, found)
    factored = subject.model.clone()
    apply(factored, {name: one.option for name, one in chosen.items()}, grams)
    verify(factored)
    recovered = subject.recovered(factored, request.recovery, request.recipe)
    states = [subject.state(each) for each in (subject.model, factored, recovered) if each is not None]
    report = FactorizationReport(
        request=str(request.budget),
        recovery=str(request.recovery),
        pipeline=request.pipeline,
        factored=states[1],
        layers=tuple(_reported(layers[name], one, request.budget.measure) for name, one in chosen.items()),
        refusals=refusals,
        **subject.outcome(states),
    )
    return Factored(recovered or factored, report)


def _observe(subject: Subject, layers: Mapping[str, Layer]) -> Mapping[str, Gram]:
    if subject.data is None:
        return {}
    with subject.steps.step("calibrate", subject.data.fitted.count) as done:
        return collect(
            subject.model, subject.data.fitted, (), list(layers), threads=subject.threads, progress=done
        ).grams


def _found(
    subject: Subject, request: _Request, layers: Mapping[str, Layer], grams: Mapping[str, Gram]
) -> dict[str, list[Candidate]]:
    """Return what is worth trying of each layer, with what it alone costs the answers."""
    judge = by_share if subject.data is None else _by_answers(subject, subject.data)
    found = {}
    with subject.steps.step("try forms", len(layers)) as done:
        for number, (name, layer) in enumerate(layers.items(), start=1):
            offered = options(layer, request.budget.measure, request.lanes, request.forms)
            found[name] = candidates(layer, Moment.of(layer, grams.get(name)), offered, judge)
            done(number)
    return found


def _by_answers(subject: Subject, data: Split) -> Judge:
    fidelity = Fidelities(subject.model, draw(data.held_out, TRIED), threads=subject.threads)

    def judge(layer: Layer, chain: Chain, share: float) -> float:  # noqa: ARG001  # the answers say more
        changed = subject.model.clone()
        write(changed.graph, layers_of(changed)[0][layer.name], chain, Names(changed))
        return fidelity.error(changed) ** 2

    return judge


def _chosen(subject: Subject, budget: Budget, found: Found) -> dict[str, Candidate]:
    """Return the candidates that meet a budget; raises PipelineError where none do."""
    before = count(budget.measure, subject.static(subject.model))
    chosen = choose(found, math.ceil(before - budget.limit(before)))
    if chosen is None:
        most = sum(max((one.saved for one in some), default=0) for some in found.values())
        raise PipelineError(
            f"{budget} asks for more than factoring saves, {most / before:.0%} of {budget.measure} at most; "
            "ask for less, or prune channels too"
        )
    return chosen


def _reported(layer: Layer, chosen: Candidate, measure: str) -> FactoredLayer:
    before = cost(layer, measure)
    return FactoredLayer(
        layer=layer.name,
        weight=(layer.groups * layer.outputs, *layer.weight.shape[2:]),
        form=str(chosen.option),
        before=before,
        after=before - chosen.saved,
        error=chosen.error,
        answers=chosen.answers,
    )
