"""`graphopt compile`: from a model to a program in a directory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from graphopt.cli.calibration import PreprocessText
from graphopt.cli.console import progress, say, show, show_json
from graphopt.cli.options import (
    Explain,
    Json,
    ModelPath,
    NoCache,
    PipelineText,
    PrecisionName,
    PresetName,
    SeveralInputShapes,
    TargetText,
    Threads,
    pipeline_text,
    shape_table_of,
)
from graphopt.cli.output import check_program_folder
from graphopt.cli.render import fields
from graphopt.cli.report import explanation
from graphopt.cli.summary import quantity, summary

if TYPE_CHECKING:
    from graphopt.runtime.manifest import Placement
    from graphopt.runtime.module import CompiledModule

OutputFolder = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="The directory of the program.", show_default=False)
]

CalibrationPath = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="PATH",
        help="Quantize first, calibrated on these data: a .npz, a .npy, or a folder of pictures.",
        show_default=False,
    ),
]


def compile_model(
    model: ModelPath,
    *,
    output: OutputFolder,
    target: TargetText = "cpu",
    input_shape: SeveralInputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    precision: PrecisionName = None,
    calibration: CalibrationPath = None,
    preprocess: PreprocessText = None,
    no_cache: NoCache = False,
    explain: Explain = False,
    json: Json = False,
) -> None:
    """Compile a model into a program for a target.

    Native code is made for fixed shapes: say with --input-shape which, where the model leaves them free. A program
    may have code for several; the shapes of a run decide, and a batch that has none of its own runs in pieces.
    The program lies in a directory that `graphopt run` and `graphopt.load` take. With --target c, or a target of
    another machine, it holds sources and objects instead, which make builds there: one function, model_run of model.h.

    Examples:
      graphopt compile model.onnx -o program
      graphopt compile model.onnx -o program --input-shape x:8,3,224,224 --threads 2
      graphopt compile model.onnx -o program --input-shape x:1,3,224,224 --input-shape x:8,3,224,224
      graphopt compile model.onnx -o program --precision auto
      graphopt compile model.onnx -o program --calibration samples.npz
      graphopt compile model.onnx -o program --target onnxruntime --explain
      graphopt compile model.onnx -o sources --target c
      graphopt compile model.onnx -o board --target "cpu{mtriple=aarch64-linux-gnu mcpu=cortex-a72}"

    """
    from graphopt.compiler import tuned
    from graphopt.compiler.compile import QUANTIZING, compile

    text, shapes = pipeline_text(pipeline, preset), shape_table_of(input_shape)
    check_program_folder(output)
    if damage := tuned.read().damage:
        say(f"warning: {damage}: kernels are scheduled by analysis")
    stages: list[str] = []
    with progress("compiling") as step:

        def on_stage(stage: str) -> None:
            stages.append(stage)
            step(stage)

        module = compile(
            model,
            target,
            shapes=shapes,
            pipeline=text,
            threads=threads,
            precision=precision,
            calibration=calibration,
            preprocessing=preprocess,
            cache=not no_cache,
            on_stage=on_stage,
        )
        step("saving")
        module.save(output)
    cached = all(stage.startswith(QUANTIZING) for stage in stages)
    if json:
        report = module.report.to_dict()
        described = {"model": str(model), "output": str(output), "target": module.target, "cached": cached}
        show_json(described | {"batched": module.batched, "arenas": module.arenas} | report)
        return
    show(summary(module.report.optimization), _program(module, cached=cached))
    if explain:
        show(*explanation(module.report.optimization))
        show("", *map(_placement_line, module.report.placements))
    show("", f"{output}: written")


def _program(module: CompiledModule, *, cached: bool) -> Table:
    from graphopt.runtime.module import describe

    report = module.report
    native = [*map(describe, module.variants), *(["and batches that are sums of these"] if module.batched else [])]
    executors = Counter(placement.executor for placement in report.placements)
    seconds = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in report.seconds.items())
    memory = [quantity(size, "B") for size in module.arenas]
    rows: dict[str, object] = {
        "target": module.target,
        "inputs": module.inputs,
        "outputs": module.outputs,
        "native for": native or ("no shape",),
        **({"memory": f"{', '.join(memory)} a run, beside weights, inputs and outputs"} if memory else {}),
        "runs in": ", ".join(f"{executor}: {count} nodes" for executor, count in executors.most_common()),
        "time": "found in the cache" if cached else seconds,
    }
    return fields(rows | ({"notes": report.notes} if report.notes else {}))


def _placement_line(placement: Placement) -> str:
    because = f": {placement.reason}" if placement.reason else ""
    return f"{placement.executor}: {placement.node}{because}"
