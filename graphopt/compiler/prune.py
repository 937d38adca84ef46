"""`graphopt.prune`: a model with fewer channels, from data without labels, or from none."""

from __future__ import annotations

from graphopt.calibration.labels import Labels
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data
from graphopt.compiler.optimize import Shapes
from graphopt.compiler.pruner import Pruned, Pruner, Request
from graphopt.compiler.recovery import Recovery, recovery_of
from graphopt.compiler.steps import Progress, Steps
from graphopt.compiler.subject import open_subject
from graphopt.distillation.recipe import parse_recipe
from graphopt.ir.load import Source
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pruning.budget import Amount, Measure, one_budget
from graphopt.pruning.choosing import AUTO, choose_criterion
from graphopt.pruning.importance.criterion import Criterion
from graphopt.pruning.width import snaps_to_try
from graphopt.targets import Target, parse_target


def prune(  # noqa: PLR0913  # all that it can be asked
    model: Source,
    data: Data | None = None,
    *,
    macs: Amount | None = None,
    flops: Amount | None = None,
    params: Amount | None = None,
    bytes: Amount | None = None,  # noqa: A002  # the measure's name
    latency: Amount | None = None,
    criterion: str | Criterion = AUTO,
    recover: str | Recovery | None = None,
    recipe: str | None = None,
    multiple: int | None = None,
    target: str | Target = "cpu",
    labels: Labels | None = None,
    shapes: Shapes | None = None,
    measure: bool = False,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    threads: int = 0,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Pruned:
    """Take channels out of a model until a budget is met; what is given stays untouched.

    The model goes through a pipeline of passes. Channels that can only leave together are found, and ranked by a
    criterion. How many leave each group is chosen by the error of the answers to samples that nothing is fitted to, or
    by the scores of the criterion where there are no data. What is left is fitted to what there was.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: without labels (`graphopt.calibration.source.open_samples`); the criteria `l1`, `l2`, `magnitude` and
            `random` can do without.
        macs, flops, params, bytes, latency: the budget, one of them: `-40%` or -0.4 for so much less, `60%` or 0.6
            for what stays, or an amount, as `300M`, `1.5MB` or `8ms`. Latency is that of our own program on this
            machine, measured.
        criterion: `auto`, or one of `Criterion`.
        recover: `none`, `least-squares` or `distill`; `least-squares` by default where there are data.
        recipe: of training, as text (`graphopt.distillation.recipe`); by default one for few samples.
        multiple: what narrower widths are multiples of; by default of the channels in a vector register of the
            target, and of parts of that in groups of few channels where the budget leaves no choice otherwise.
        target: for whom widths are chosen, and whose latency is measured.
        labels: the class of each sample (`graphopt.calibration.labels`); the report then has accuracies, and
            `distill` learns from them too.
        shapes: of inputs, where more than the batch is free; by default those of the first sample.
        measure: report the latency before and after.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before.
        threads: of onnxruntime and PyTorch; 0 means as many as this process may run on.
        seed: of what is random.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or no channel can leave it.
        PipelineError: the pipeline, or a budget that is none or cannot be met.
        CalibrationError: the data, the labels, the criterion, or what needs data and has none.
        TargetError: the target, or PyTorch is missing.
        MeasurementError: the latency cannot be measured.
        PassFailureError: a pass failed.

    """
    amounts = {
        Measure.MACS: macs,
        Measure.FLOPS: flops,
        Measure.PARAMS: params,
        Measure.BYTES: bytes,
        Measure.LATENCY: latency,
    }
    facts = target if isinstance(target, Target) else parse_target(target)
    request = Request(
        budget=one_budget(amounts),
        criterion=choose_criterion(criterion, has_data=data is not None),
        recovery=recovery_of(recover, has_data=data is not None),
        recipe=None if recipe is None else parse_recipe(recipe),
        snaps=snaps_to_try(multiple, facts),
        target=facts,
        measure=measure,
        pipeline=pipeline,
        seed=seed,
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
        seed=seed,
    )
    return Pruner(request, subject).run()
