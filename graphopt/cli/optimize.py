"""`graphopt optimize`: a model through a pipeline of passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import (
    Data,
    Explain,
    InputShapes,
    Json,
    ModelPath,
    PageFile,
    PipelineText,
    PresetName,
    Seed,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.output import check_file, check_page
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.pipeline.check import Check
    from graphopt.report.history import History

CheckKind = Annotated[
    Literal["numeric", "rewrite"] | None,
    typer.Option(
        "--check",
        help="Execute before and after each pass (numeric) or each rewrite (rewrite), and compare the answers.",
        show_default=False,
    ),
]
KeepOverridable = Annotated[
    bool, typer.Option("--keep-overridable", help="Keep initializers that are also inputs as inputs, not constants.")
]


def optimize_model(
    model: ModelPath,
    *,
    output: OutputFile,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    input_shape: InputShapes = None,
    explain: Explain = False,
    check: CheckKind = None,
    data: Data = None,
    seed: Seed = 0,
    keep_overridable: KeepOverridable = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    report: PageFile = None,
    json: Json = False,
) -> None:
    """Make a model smaller by a pipeline of passes; its answers stay the same.

    Examples:
      graphopt optimize model.onnx -o small.onnx
      graphopt optimize model.onnx -o small.onnx --preset O1 --input-shape x:1,3,224,224
      graphopt optimize model.onnx -o small.onnx --pipeline 'fold-batch-norm,remove-dead-nodes' --explain
      graphopt optimize model.onnx -o small.onnx --check numeric --data feeds.npz
      graphopt optimize model.onnx -o small.onnx --check rewrite
      graphopt optimize model.onnx -o small.onnx --external-data
      graphopt optimize model.onnx -o small.onnx --report history.html

    """
    from graphopt.cli.summary import summary
    from graphopt.compiler.optimize import optimize
    from graphopt.ir.save import save

    if data and check != "numeric":
        raise typer.BadParameter("--data is what --check numeric compares on; add it")
    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    check_file(output)
    if report:
        check_page(report, "--report")
    history, checking = _history(report, model), _check(check, data, seed)
    with progress("optimizing") as step:
        optimized, done = optimize(
            model,
            text,
            shapes=shapes,
            overridable_initializers=keep_overridable,
            check=checking,
            on_pass=step,
            seed=seed,
            observer=history,
        )
        step("saving")
        save(optimized, output, external_data=external_data, smallest_external=external_threshold)
        if history and report:
            history.write(report)
    if json:
        asked = {"model": str(model), "output": str(output), "check": check, "findings": checking.findings()}
        show_json(asked | {"report": done.to_dict()})
        return
    mention(summary(done.to_dict()))
    if explain:
        from graphopt.cli.report import explanation

        show(*explanation(done.to_dict()))
    mention("")
    show(*checking.findings())
    mention(", ".join(filter(None, (f"{output}: written", checking.summary()))))
    if report:
        mention(f"{report}: written, for a browser")


def _history(page: Path | None, model: Path) -> History | None:
    if page is None:
        return None
    from graphopt.report.history import History

    return History(model.name)


def _check(kind: str | None, data: Path | None, seed: int) -> Check:
    match kind:
        case "rewrite":
            from graphopt.pipeline.rewrite_check import RewriteCheck

            return RewriteCheck(seed=seed)
        case "numeric":
            from graphopt.cli.feeds import read_feeds
            from graphopt.pipeline.numeric_check import NumericCheck

            return NumericCheck(read_feeds([str(data)]) if data else None, seed=seed)
        case _:
            from graphopt.pipeline import check

            return check.Check()
