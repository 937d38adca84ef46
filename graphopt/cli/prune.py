"""`graphopt prune`: a model with fewer channels, its answers won back from what they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText
from graphopt.cli.completion import one_of
from graphopt.cli.compression import Bytes, Flops, LabelsPath, Macs, Params, RecipeText, RecoveryName, budget
from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import (
    Explain,
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PresetName,
    Seed,
    TargetText,
    Threads,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.pruning.report import PruningReport

Latency = Annotated[str | None, budget("latency", "Milliseconds of a run of our program on this machine, measured")]
DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to choose by and fit to, without labels: a .npz, a .npy, or a folder of pictures. The criteria l1, "
        "l2, magnitude and random can do without.",
        show_default=False,
    ),
]
_CRITERIA = (
    *("l1", "l2", "random", "magnitude", "activation", "activation-weight"),
    *("output-kl", "first-order", "obs"),
)
CriterionName = Annotated[
    str,
    typer.Option(
        "--criterion",
        metavar="NAME",
        help=f"Which channels leave first: {', '.join(_CRITERIA)}; auto is obs with data, l1 without.",
        autocompletion=one_of("auto", *_CRITERIA),
    ),
]
Multiple = Annotated[
    int | None,
    typer.Option(
        "--multiple",
        min=1,
        metavar="N",
        help="Narrower widths are multiples of N; by default of the channels in a vector register of the target, and "
        "of parts of that in groups of few channels where the budget leaves no choice otherwise.",
        show_default=False,
    ),
]
MeasureLatency = Annotated[bool, typer.Option("--measure", help="Measure the latency of our program before and after.")]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Write what left too, for the pass `prune-channels{plan=FILE}`.",
        show_default=False,
    ),
]


def prune_model(
    model: ModelPath,
    *,
    output: OutputFile,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    weight_bytes: Bytes = None,
    latency: Latency = None,
    data: DataPath = None,
    labels: LabelsPath = None,
    criterion: CriterionName = "auto",
    recover: RecoveryName = None,
    recipe: RecipeText = None,
    multiple: Multiple = None,
    target: TargetText = "cpu",
    measure: MeasureLatency = False,
    preprocess: PreprocessText = None,
    limit: CalibrationLimit = None,
    input_shape: InputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    plan: PlanFile = None,
    threads: Threads = None,
    seed: Seed = 0,
    explain: Explain = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Take channels out of a model until it costs as little as asked for, and win its answers back without labels.

    Examples:
      graphopt prune model.onnx -o small.onnx --macs -40% --data photographs --recover distill \
--preprocess 'preprocess{crop=224 scale=1/255}'
      graphopt prune model.onnx -o small.onnx --bytes 1.5MB --data samples.npz --plan plan.json
      graphopt prune model.onnx -o small.onnx --latency -30% --data samples.npz --labels labels.npy
      graphopt prune model.onnx -o small.onnx --params 50% --criterion l2 --multiple 8

    """
    from graphopt.cli.stages import closing_line
    from graphopt.compiler.prune import prune
    from graphopt.ir.save import save

    text = pipeline_text(pipeline, preset)
    for path in filter(None, (output, plan)):
        check_file(path)
    if data is None and (labels is not None or recipe is not None):
        raise typer.BadParameter("--labels and --recipe are for data; give --data")
    with progress("pruning") as step:
        pruned, report = prune(
            model,
            data,
            macs=macs,
            flops=flops,
            params=params,
            bytes=weight_bytes,
            latency=latency,
            criterion=criterion,
            recover=recover,
            recipe=recipe,
            multiple=multiple,
            target=target,
            labels=labels,
            shapes=shapes_of(input_shape),
            measure=measure,
            preprocessing=preprocess,
            limit=limit,
            pipeline=text,
            threads=threads or 0,
            seed=seed,
            on_progress=step,
        )
        step("saving")
        save(pruned, output, external_data=external_data, smallest_external=external_threshold)
        if plan is not None:
            report.plan.save(plan)
    if json:
        show_json({"model": str(model), "output": str(output), **report.to_dict()})
        return
    _show(report, explain=explain)
    if plan is not None:
        mention(f"{plan}: written, for the pipeline {report.pipeline},prune-channels{{plan={plan}}}")
    widths = f"widths are multiples of {report.snap}"
    mention(f"{output}: written, {closing_line(report.before, report.after, report.seconds, then=[widths])}")


def _show(report: PruningReport, *, explain: bool) -> None:
    """Print what became of the model, and of its layers where that is asked for."""
    from graphopt.cli.render import table
    from graphopt.cli.stages import rows

    if explain:
        show(*(f"frozen: {layer}: {why}" for layer, why in report.frozen.items()), "")
        show(table(("layer", "operator", "weight", "becomes", ">MACs", ">become"), _layers(report)), "")
    mention(*report.notes)
    states = (report.before, report.pruned, report.recovered)
    mention(table(("", ">before", ">pruned", ">recovered"), rows(states)), "")


def _layers(report: PruningReport) -> list[tuple[str, ...]]:
    from graphopt.cli.summary import quantity

    return [
        (
            layer.node,
            layer.op_type,
            "×".join(map(str, layer.before)),
            "×".join(map(str, layer.after)),
            quantity(layer.macs_before),
            quantity(layer.macs_after),
        )
        for layer in report.layers
    ]
