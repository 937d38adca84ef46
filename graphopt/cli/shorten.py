"""`graphopt shorten`: a model with fewer blocks and layers, its answers won back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText
from graphopt.cli.compression import Bytes, Flops, LabelsPath, Macs, Params, RecipeText, RecoveryName
from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import (
    Explain,
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PresetName,
    Threads,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.compiler.shorten import ShorteningReport

DataPath = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to choose by and fit to, without labels: a .npz, a .npy, or a folder of pictures.",
        show_default=False,
    ),
]


def shorten_model(
    model: ModelPath,
    *,
    output: OutputFile,
    data: DataPath,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    weight_bytes: Bytes = None,
    labels: LabelsPath = None,
    recover: RecoveryName = None,
    recipe: RecipeText = None,
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
    """Take residual blocks and layers out of a model that its answers hardly need, and win these back without labels.

    Examples:
      graphopt shorten model.onnx -o short.onnx --macs -20% --data samples.npz
      graphopt shorten model.onnx -o short.onnx --params -30% --data photographs --recover distill \
--preprocess 'preprocess{crop=224 scale=1/255}'

    """
    from graphopt.cli.stages import closing_line
    from graphopt.compiler.shorten import shorten
    from graphopt.distillation.recipe import NAME
    from graphopt.ir.save import save

    text = pipeline_text(pipeline, preset)
    check_file(output)
    with progress("shortening") as step:
        shortened, report = shorten(
            model,
            data,
            macs=macs,
            flops=flops,
            params=params,
            bytes=weight_bytes,
            recover=recover,
            recipe=recipe or NAME,
            labels=labels,
            shapes=shapes_of(input_shape),
            preprocessing=preprocess,
            limit=limit,
            pipeline=text,
            threads=threads or 0,
            on_progress=step,
        )
        step("saving")
        save(shortened, output, external_data=external_data, smallest_external=external_threshold)
    if json:
        show_json({"model": str(model), "output": str(output), **report.to_dict()})
        return
    _show(report, explain=explain)
    own = f"{len(report.removed)} values left out"
    mention(f"{output}: written, {closing_line(report.before, report.after, report.seconds, first=[own])}")


def _show(report: ShorteningReport, *, explain: bool) -> None:
    """Print what became of the model, and what left where that is asked for."""
    from graphopt.cli.render import table
    from graphopt.cli.stages import rows
    from graphopt.cli.summary import quantity

    if explain:
        left = [(*one.bypass, quantity(one.saved), f"{one.error:.3g}") for one in report.removed]
        show(table(("left out", "read instead", ">saves", ">error of answers"), left), "")
        show(f"the same, for the model behind {report.pipeline}: {report.pass_text}", "")
    states = (report.before, report.shortened, report.recovered)
    mention(table(("", ">before", ">shortened", ">recovered"), rows(states)), "")
