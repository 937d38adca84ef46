"""`graphopt share`: a model whose weights have few different values."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText
from graphopt.cli.compression import DataPath, Layers, RecipeText, StorageName, tell_of_weights
from graphopt.cli.options import Json, ModelPath, PipelineText, PresetName, Threads, pipeline_text
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

Values = Annotated[
    int, typer.Option("--values", min=2, max=256, metavar="N", help="How many different values; 16 take half a byte.")
]
PerName = Annotated[
    Literal["tensor", "row"],
    typer.Option("--per", help="Which weights share them: those of a tensor, or of an output channel of it."),
]
RecoverName = Annotated[
    Literal["none", "distill"],
    typer.Option("--recover", help="How the values are fitted to the answers there were; needs data."),
]


def share_model(
    model: ModelPath,
    *,
    output: OutputFile,
    values: Values = 16,
    per: PerName = "tensor",
    data: DataPath = None,
    recover: RecoverName = "none",
    recipe: RecipeText = None,
    storage: StorageName = "compact",
    preprocess: PreprocessText = None,
    limit: CalibrationLimit = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    layers: Layers = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Give the weights of a model few different values, and store it in fewer bytes.

    Examples:
      graphopt share model.onnx -o small.onnx --data samples.npz
      graphopt share sparse.onnx -o smaller.onnx --values 32 --per row --data samples.npz --recover distill

    """
    from graphopt.cli.render import table
    from graphopt.compiler.share import share
    from graphopt.compiler.sharing_report import HEADS
    from graphopt.ir.save import save

    text = pipeline_text(pipeline, preset)
    check_file(output)
    with progress("sharing weights") as step:
        shared = share(
            model,
            data,
            values=values,
            per=per,
            recover=recover,
            recipe=recipe,
            storage=storage,
            preprocessing=preprocess,
            limit=limit,
            pipeline=text,
            threads=threads or 0,
            on_progress=step,
        )
        step("saving")
        save(shared.model, output, external_data=external_data, smallest_external=external_threshold)
    first = [f"{shared.report.values} values a {shared.report.per}"]
    listed = table(HEADS, shared.report.rows()) if layers else None
    fidelity = shared.report.shared
    tell_of_weights(model, output, shared.report, first=first, fidelity=fidelity, layers=listed, json=json)
