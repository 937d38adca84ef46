"""`graphopt compile`: from a model to a program in a file or a directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from graphopt.cli.calibration import PreprocessText
from graphopt.cli.console import mention, say, show, show_json
from graphopt.cli.options import (
    Explain,
    Json,
    ModelPath,
    NoCache,
    PageFile,
    PipelineText,
    PrecisionName,
    PresetName,
    SeveralInputShapes,
    TargetText,
    Threads,
    pipeline_text,
    shape_table_of,
    target_of,
)
from graphopt.cli.output import check_page, check_program
from graphopt.cli.program import program_rows
from graphopt.cli.progress import progress
from graphopt.cli.render import fields
from graphopt.cli.report import explanation
from graphopt.cli.summary import summary

if TYPE_CHECKING:
    from graphopt.runtime.manifest import Placement
    from graphopt.runtime.module import CompiledModule

ProgramOutput = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE.gopt|DIR",
        help="Where the program goes: into one file, or into a directory.",
        show_default=False,
    ),
]

SigningKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE.pem", help="Sign the program with this private Ed25519 key.", show_default=False),
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
    output: ProgramOutput,
    target: TargetText = "cpu",
    input_shape: SeveralInputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    precision: PrecisionName = None,
    calibration: CalibrationPath = None,
    preprocess: PreprocessText = None,
    no_cache: NoCache = False,
    signing_key: SigningKey = None,
    explain: Explain = False,
    report: PageFile = None,
    json: Json = False,
) -> None:
    """Compile a model into a program for a target.

    Native code is made for fixed shapes: say with --input-shape which, where the model leaves them free. A program
    may have code for several; the shapes of a run decide, and a batch that has none of its own runs in pieces.
    `graphopt run` and `graphopt.load` take the program as one file, NAME.gopt, or as a directory. With --target c, or a
    target of another machine, a directory of sources and objects is written instead, which make builds there: one
    function, model_run of model.h. With wasm32 it holds model.wasm, weights.bin and model.mjs, which a page in a
    browser or Node imports.
    With --report the model is optimized and compiled once more, to show each pass, each kernel and its time.

    Examples:
      graphopt compile model.onnx -o model.gopt
      graphopt compile model.onnx -o program
      graphopt compile model.onnx -o program --input-shape x:8,3,224,224 --threads 2
      graphopt compile model.onnx -o program --input-shape x:1,3,224,224 --input-shape x:8,3,224,224
      graphopt compile model.onnx -o program --precision auto
      graphopt compile model.onnx -o model.gopt --signing-key private.pem
      graphopt compile model.onnx -o program --calibration samples.npz
      graphopt compile model.onnx -o program --target onnxruntime --explain
      graphopt compile model.onnx -o program --report program.html
      graphopt compile model.onnx -o sources --target c
      graphopt compile model.onnx -o web --target wasm32
      graphopt compile model.onnx -o board --target "cpu{mtriple=aarch64-linux-gnu mcpu=cortex-a72}"

    """
    from graphopt.compiler import tuned
    from graphopt.compiler.compile import QUANTIZING, compile
    from graphopt.runtime.signature import private_key

    text, shapes = pipeline_text(pipeline, preset), shape_table_of(input_shape)
    check_program(output)
    if report:
        check_page(report, "--report")
        if calibration:
            raise typer.BadParameter(
                "--report shows a model as it is given: quantize it by `graphopt quantize`, then compile"
            )
    if signing_key:
        private_key(signing_key)
    if damage := tuned.read().damage:
        say(f"warning: {damage}: kernels are scheduled by analysis")
    stages: list[str] = []
    with progress("compiling") as step:

        def on_stage(stage: str) -> None:
            stages.append(stage)
            step(*_amounts(stage))

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
        module.save(output, signing_key=signing_key)
        if report:
            from graphopt.benchmark.case import Recipe
            from graphopt.benchmark.story import history_of

            step("telling its history")
            recipe = Recipe(target_of(target, threads, precision), text, shapes[0])
            history_of(model, recipe, module.manifest).write(report)
    cached = all(stage.startswith(QUANTIZING) for stage in stages)
    if json:
        done = module.report.to_dict()
        described = {"model": str(model), "output": str(output), "target": module.target, "cached": cached}
        show_json(described | {"batched": module.batched, "arenas": module.arenas} | done)
        return
    mention(summary(module.report.optimization), _program(module, cached=cached))
    if explain:
        show(*explanation(module.report.optimization))
        show("", *map(_placement_line, module.report.placements))
    mention("", f"{output}: written", *([f"{report}: written, for a browser"] if report else []))


def _amounts(stage: str) -> tuple[str, int, int | None]:
    """Take apart the name of a stage and how much of it is done, where it says so."""
    if found := re.fullmatch(r"(.*), (\d+) of (\d+)", stage):
        return found[1], int(found[2]), int(found[3])
    return stage, 0, None


def _program(module: CompiledModule, *, cached: bool) -> Table:
    seconds = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in module.report.seconds.items())
    return fields(program_rows(module.manifest) | {"time": "found in the cache" if cached else seconds})


def _placement_line(placement: Placement) -> str:
    because = f": {placement.reason}" if placement.reason else ""
    return f"{placement.executor}: {placement.node}{because}"
