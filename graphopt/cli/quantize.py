"""`graphopt quantize`: a model in integers, from data without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText, share
from graphopt.cli.completion import one_of
from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import Explain, Json, ModelPath, PipelineText, PresetName, pipeline_text
from graphopt.cli.output import check_file, check_page, check_picture
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.compiler.quantization_report import QuantizationReport
    from graphopt.compiler.quantize import Quantized
    from graphopt.compiler.steps import Progress
    from graphopt.quantization.error_table import ErrorTable

DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to calibrate with: a .npz, a .npy, or a folder of pictures. Weights alone can do without.",
        show_default=False,
    ),
]
_SCHEMES = "x64", "tensorrt", "graphopt", "x64-avx2", "x64-pow2", "x64-int16", "weights-int8", "weights-int4"
SchemeText = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="SCHEME",
        help=f"Who is to take the model: {', '.join(_SCHEMES)}; with options as in "
        "x64{symmetric=true per-channel=false}.",
        autocompletion=one_of(*_SCHEMES),
    ),
]
Method = Annotated[
    Literal["auto", "minmax", "percentile", "entropy", "mse"],
    typer.Option("--method", help="How to choose ranges; auto also fits weights and biases to the data."),
]
MaxError = Annotated[
    float | None,
    typer.Option(
        "--max-error",
        metavar="ERROR",
        help="How large the relative error of the answers may be; the few nodes that stand in the way stay in float32.",
        show_default=False,
    ),
]
Agreement = Annotated[
    float | None,
    typer.Option(
        "--agreement",
        metavar="SHARE",
        parser=share,
        help="For how many of the samples the class has to stay the same, as 99% or 0.99, in the same way.",
        show_default=False,
    ),
]
Workers = Annotated[
    int,
    typer.Option("--workers", min=1, metavar="N", help="Calibrate in N processes at once, each on a part of the data."),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Write the decisions too, for the pass `quantize{plan=FILE}`.",
        show_default=False,
    ),
]
Layers = Annotated[
    bool,
    typer.Option("--layers", help="Say how far each layer is off, and what it alone costs the answers."),
]
LayersPlot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE.png|.svg", help="Draw that into a file.", show_default=False),
]
NAMED = 3
"""How many of the nodes that were spared the closing line names; `--explain` names all."""

LayersPage = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write a page that shows the graph before and after, and what each layer alone does to answers.",
        show_default=False,
    ),
]


def quantize_model(
    model: ModelPath,
    *,
    output: OutputFile,
    data: DataPath = None,
    target: SchemeText = "x64",
    method: Method = "auto",
    preprocess: PreprocessText = None,
    limit: CalibrationLimit = None,
    max_error: MaxError = None,
    agreement: Agreement = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    workers: Workers = 1,
    plan: PlanFile = None,
    layers: Layers = False,
    plot: LayersPlot = None,
    report: LayersPage = None,
    explain: Explain = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Quantize a model to integers; what it takes and returns stays as it is.

    Examples:
      graphopt quantize model.onnx -o int8.onnx --data samples.npz
      graphopt quantize model.onnx -o int8.onnx --data photographs --preprocess \
'preprocess{crop=224 scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225}'
      graphopt quantize model.onnx -o int8.onnx --data samples.npz --target tensorrt --method percentile --limit 500
      graphopt quantize model.onnx -o small.onnx --target weights-int8
      graphopt quantize model.onnx -o int8.onnx --data samples.npz --layers --plot layers.svg --report page.html
      graphopt quantize model.onnx -o int8.onnx --data samples.npz --agreement 99% --max-error 0.05

    """
    from graphopt.compiler.quantize import quantize
    from graphopt.ir.save import save
    from graphopt.quantization.scheme import parse_scheme

    text = pipeline_text(pipeline, preset)
    for path in filter(None, (output, plan)):
        check_file(path)
    _check_layers(data, layers, plot, report)
    with progress("quantizing") as step:
        quantized = quantize(
            model,
            data,
            target,
            method=method,
            preprocessing=preprocess,
            limit=limit,
            max_error=max_error,
            agreement=agreement,
            pipeline=text,
            workers=workers,
            on_progress=step,
        )
        step("saving")
        done = quantized.report
        save(quantized.model, output, external_data=external_data, smallest_external=external_threshold)
        if plan is not None:
            done.plan.save(plan)
        errors = None
        if data is not None and (layers or plot or report):
            errors = _measure_layers(model, quantized, data, (plot, report), step)
    if json:
        measured = {} if errors is None else errors.to_dict()
        show_json({"model": str(model), "output": str(output), **done.to_dict(), **measured})
        return
    if errors is not None and layers:
        _show_layers(errors)
    if explain:
        show(*(f"float32: {node}: {reason}" for node, reason in done.floats.items()), "")
    if plan is not None:
        form = parse_scheme(done.scheme).form
        mention(f"{plan}: written, for the pipeline {done.pipeline},quantize{{plan={plan} target={form}}}")
    mention(f"{output}: written, {closing_line(done)}")
    if report:
        mention(f"{report}: written, for a browser")


def _check_layers(data: Path | None, layers: bool, plot: Path | None, report: Path | None) -> None:
    """Refuse early what cannot be measured or drawn; raises BadParameter, MeasurementError or OutputError."""
    if data is None and (layers or plot or report):
        raise typer.BadParameter("--layers, --plot and --report measure on data; give --data")
    if report is not None:
        check_page(report, "--report")
    if plot is not None:
        check_picture(plot)


def _measure_layers(
    model: Path, quantized: Quantized, data: Path, pictures: tuple[Path | None, Path | None], step: Progress
) -> ErrorTable:
    from graphopt.compiler.layers import as_planned, error_history, layer_errors

    plot, report = pictures
    planned = as_planned(model, quantized)
    errors = layer_errors(planned, quantized, data, on_layer=step)
    if plot is not None:
        from graphopt.quantization.error_plot import draw

        draw(errors, plot)
    if report is not None:
        error_history(planned, quantized, errors, model.name).write(report)
    return errors


def _show_layers(errors: ErrorTable) -> None:
    from graphopt.cli.render import table
    from graphopt.quantization.error_table import HEADS

    show(table(HEADS, errors.rows()), "")


def closing_line(report: QuantizationReport) -> str:
    """Say what a quantization cost and gained."""
    from graphopt.cli.summary import quantity

    parts: list[Any] = [
        f"{report.integers} nodes in integers and {len(report.floats)} in float32",
        f"{quantity(report.bytes_before, 'B')} → {quantity(report.bytes_after, 'B')}",
    ]
    if report.before_sparing is not None:
        names = report.spared[:NAMED] + (("…",) if len(report.spared) > NAMED else ())
        parts.append(f"{len(report.spared)} of them spared ({', '.join(names)}): {report.before_sparing} before")
    if report.fidelity is not None:
        parts.append(f"{report.fidelity} on {report.fidelity.samples} of the {report.samples or 'given'} samples")
    return ", ".join([*parts, f"{sum(report.seconds.values()):.1f} s"])
