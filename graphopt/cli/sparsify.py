"""`graphopt sparsify`: a model many of whose weights are zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText
from graphopt.cli.compression import DataPath, Layers, RecipeText, StorageName, tell_of_weights
from graphopt.cli.options import Json, ModelPath, PipelineText, PresetName, Seed, Threads, pipeline_text
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.compiler.sparsity_report import SparsityReport

Fraction = Annotated[
    float | None,
    typer.Option("--fraction", metavar="SHARE", help="The share of weights to set to zero.", show_default=False),
]
PatternText = Annotated[
    str | None,
    typer.Option(
        "--pattern",
        metavar="N:M",
        help="Of M input channels side by side, N weights at most stay, as in 2:4.",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="H", help="Set weights with |w| up to H to zero.", show_default=False),
]
MethodName = Annotated[
    Literal["auto", "magnitude", "random", "obc"],
    typer.Option("--method", help="What tells which weights go; auto is obc with data, and magnitude without."),
]
RecoverName = Annotated[
    Literal["none", "least-squares", "distill"] | None,
    typer.Option(
        "--recover",
        help="How the weights that are left are fitted to the answers there were; least-squares by default with data.",
        show_default=False,
    ),
]


def sparsify_model(
    model: ModelPath,
    *,
    output: OutputFile,
    fraction: Fraction = None,
    pattern: PatternText = None,
    threshold: Threshold = None,
    data: DataPath = None,
    method: MethodName = "auto",
    recover: RecoverName = None,
    recipe: RecipeText = None,
    storage: StorageName = "compact",
    preprocess: PreprocessText = None,
    limit: CalibrationLimit = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    seed: Seed = 0,
    layers: Layers = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Set weights of a model to zero, and store it in fewer bytes.

    Examples:
      graphopt sparsify model.onnx -o half.onnx --fraction 0.5 --data samples.npz
      graphopt sparsify model.onnx -o sparse.onnx --pattern 2:4 --data samples.npz --storage dense
      graphopt sparsify model.onnx -o sparse.onnx --threshold 0.01

    """
    from graphopt.cli.render import table
    from graphopt.compiler.sparsify import sparsify
    from graphopt.compiler.sparsity_report import HEADS
    from graphopt.ir.save import save

    text = pipeline_text(pipeline, preset)
    check_file(output)
    with progress("sparsifying") as step:
        sparse = sparsify(
            model,
            data,
            fraction=fraction,
            pattern=pattern,
            threshold=threshold,
            method=method,
            recover=recover,
            recipe=recipe,
            storage=storage,
            preprocessing=preprocess,
            limit=limit,
            pipeline=text,
            seed=seed,
            threads=threads or 0,
            on_progress=step,
        )
        step("saving")
        save(sparse.model, output, external_data=external_data, smallest_external=external_threshold)
    report = sparse.report
    listed = table(HEADS, report.rows()) if layers else None
    tell_of_weights(model, output, report, first=_own(report), fidelity=report.sparse, layers=listed, json=json)


def _own(report: SparsityReport) -> list[str]:
    """Say how many weights are zero, and where none is."""
    from graphopt.cli.summary import quantity

    share = f"{report.zeros / max(report.weights, 1):.1%} of {quantity(report.weights)} weights are zero"
    whole = [layer.name for layer in report.layers if not layer.zeros]
    return [share, *([f"{len(whole)} of {len(report.layers)} layers stayed whole"] if whole else [])]
