"""`graphopt factorize`: a model whose large layers are chains of small ones, its answers won back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText
from graphopt.cli.completion import several_of
from graphopt.cli.compression import Bytes, LabelsPath, Macs, Params, RecipeText, RecoveryName
from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import (
    Explain,
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PresetName,
    TargetText,
    Threads,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.compiler.factorization_report import FactorizationReport

DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to choose by and fit to, without labels: a .npz, a .npy, or a folder of pictures. By the weights "
        "alone otherwise.",
        show_default=False,
    ),
]
FormNames = Annotated[
    str,
    typer.Option(
        "--forms",
        metavar="NAME,…",
        help="The forms to try: channel, spatial, tucker, cp, depthwise; all by default.",
        show_default=False,
        autocompletion=several_of("channel", "spatial", "tucker", "cp", "depthwise"),
    ),
]


def factorize_model(
    model: ModelPath,
    *,
    output: OutputFile,
    macs: Macs = None,
    params: Params = None,
    weight_bytes: Bytes = None,
    data: DataPath = None,
    labels: LabelsPath = None,
    forms: FormNames = "",
    recover: RecoveryName = None,
    recipe: RecipeText = None,
    target: TargetText = "cpu",
    preprocess: PreprocessText = None,
    limit: CalibrationLimit = None,
    input_shape: InputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    explain: Explain = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Write convolutions and matrix products as chains of smaller ones, and win the answers back without labels.

    Examples:
      graphopt factorize model.onnx -o small.onnx --macs -30% --data samples.npz
      graphopt factorize model.onnx -o small.onnx --bytes 1.5MB --data photographs --recover distill \
--preprocess 'preprocess{crop=224 scale=1/255}'
      graphopt factorize model.onnx -o small.onnx --params 60% --forms channel,spatial

    """
    from graphopt.cli.stages import closing_line
    from graphopt.compiler.factorize import factorize
    from graphopt.distillation.recipe import NAME
    from graphopt.ir.save import save

    text = pipeline_text(pipeline, preset)
    check_file(output)
    if data is None and (labels is not None or recipe is not None):
        raise typer.BadParameter("--labels and --recipe are for data; give --data")
    with progress("factoring") as step:
        factored, report = factorize(
            model,
            data,
            macs=macs,
            params=params,
            bytes=weight_bytes,
            forms=tuple(filter(None, forms.split(","))),
            recover=recover,
            recipe=recipe or NAME,
            target=target,
            labels=labels,
            shapes=shapes_of(input_shape),
            preprocessing=preprocess,
            limit=limit,
            pipeline=text,
            threads=threads or 0,
            on_progress=step,
        )
        step("saving")
        save(factored, output, external_data=external_data, smallest_external=external_threshold)
    if json:
        show_json({"model": str(model), "output": str(output), **report.to_dict()})
        return
    _show(report, explain=explain)
    own = f"{len(report.layers)} layers as chains"
    mention(f"{output}: written, {closing_line(report.before, report.after, report.seconds, first=[own])}")


def _show(report: FactorizationReport, *, explain: bool) -> None:
    """Print what became of the model, and of its layers where that is asked for."""
    from graphopt.cli.render import table
    from graphopt.cli.stages import rows

    if explain:
        show(*(f"whole: {layer}: {why}" for layer, why in report.refusals.items()), "")
        heads = ("layer", "weight", "form", ">costs", ">becomes", ">error", ">of answers")
        show(table(heads, _layers(report)), "")
    states = (report.before, report.factored, report.recovered)
    mention(table(("", ">before", ">factored", ">recovered"), rows(states)), "")


def _layers(report: FactorizationReport) -> list[tuple[str, ...]]:
    from graphopt.cli.summary import quantity

    return [
        (
            layer.layer,
            "×".join(map(str, layer.weight)),
            layer.form,
            quantity(layer.before),
            quantity(layer.after),
            f"{layer.error:.3g}",
            f"{layer.answers:.3g}",
        )
        for layer in report.layers
    ]
