"""`graphopt inspect`: what is in a model, or in a program."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphopt.cli.console import show, show_json
from graphopt.cli.layers import layer_table, timed_document, timed_table, timed_totals, warn_of_noise
from graphopt.cli.options import (
    InputShape,
    InputShapes,
    Json,
    PipelineText,
    PresetName,
    TargetText,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.program import origin_rows, program_rows
from graphopt.cli.progress import progress
from graphopt.cli.render import fields, table
from graphopt.cli.summary import quantity

if TYPE_CHECKING:
    from graphopt.benchmark.profile import Profile
    from graphopt.inspect.statistics import Statistics

Subject = Annotated[
    Path, typer.Argument(metavar="MODEL|PROGRAM", help="An ONNX file, or a program.", show_default=False)
]
AsText = Annotated[bool, typer.Option("--text", help="Print the whole graph in ONNX's textual form.")]
WithLayers = Annotated[
    bool,
    typer.Option("--layers", help="List the nodes: shape, parameters, multiply-adds, bytes moved, operations a byte."),
]
WithTimes = Annotated[
    bool,
    typer.Option(
        "--profile",
        help="Compile and run the model here, and list its nodes as compiled: with time, GFLOP/s and share of the run.",
    ),
]
StageName = Annotated[
    Literal["relax", "tir", "llvm", "asm"] | None,
    typer.Option("--stage", help="Compile, and show what each kernel became by then.", show_default=False),
]
KernelName = Annotated[
    str | None,
    typer.Option(
        "--kernel", metavar="NAME", help="With --stage: this kernel, or that of this node.", show_default=False
    ),
]


_REPEATS = 20


def inspect_model(
    model: Subject,
    *,
    input_shape: InputShapes = None,
    layers: WithLayers = False,
    profile: WithTimes = False,
    text: AsText = False,
    stage: StageName = None,
    kernel: KernelName = None,
    target: TargetText = "cpu",
    pipeline: PipelineText = None,
    preset: PresetName = None,
    json: Json = False,
) -> None:
    """Say what is in a model: inputs, outputs, nodes, parameters, operations, memory.

    Operations are counted where shapes are static: fix free dimensions with --input-shape. A program says what it
    asks of a machine and where its model came from; nothing of it is executed. --profile runs the model on random
    inputs; `graphopt profile` has the same by kernels, beside what the machine can do. --stage compiles a model anew
    and shows what each kernel became, with what its schedule decided; a batch that is free is 1 then.

    Examples:
      graphopt inspect model.onnx
      graphopt inspect model.onnx --input-shape x:1,3,224,224 --json
      graphopt inspect model.onnx --layers --input-shape x:1,3,224,224
      graphopt inspect model.onnx --profile --target 'cpu{cores=1}'
      graphopt inspect model.onnx --text | less
      graphopt inspect model.onnx --stage tir --kernel conv1
      graphopt inspect model.onnx --stage asm --target 'cpu{mcpu=haswell}' --input-shape x:1,3,224,224
      graphopt inspect model.gopt

    """
    from graphopt.inspect.layers import layers as layers_of
    from graphopt.inspect.statistics import statistics, without_kernels
    from graphopt.ir.load import load
    from graphopt.ir.shapes import infer_shapes
    from graphopt.ir.text.printer import format_model
    from graphopt.runtime.forms import is_program

    if text and (json or layers or profile):
        raise typer.BadParameter("--text goes with neither --json, --layers nor --profile")
    if stage is None and kernel is not None:
        raise typer.BadParameter("--kernel is for --stage relax, tir, llvm or asm")
    if stage is None and not profile and (pipeline, preset) != (None, None):
        raise typer.BadParameter("--pipeline and --preset are for --profile, and for --stage relax, tir, llvm or asm")
    if is_program(model):
        _show_program(model, json=json, as_model=bool(text or layers or profile or input_shape or stage))
        return
    if stage is not None:
        if text or layers or profile:
            raise typer.BadParameter("--stage goes with neither --text, --layers nor --profile")
        _show_stage(model, input_shape, stage, kernel, (target, pipeline_text(pipeline, preset)), json=json)
        return
    with progress("reading"):
        loaded = load(model, shapes=shapes_of(input_shape))
        infer_shapes(loaded)
    if text:
        show(format_model(loaded).rstrip("\n"))
        return
    with progress("counting"):
        found = statistics(loaded)
        listed = list(layers_of(without_kernels(loaded))) if layers and not profile else []
    timed = _time(model, input_shape, (target, pipeline_text(pipeline, preset))) if profile else None
    if json:
        described = timed_document(timed) if timed else {"layers": list(map(asdict, listed))} if layers else {}
        show_json(found.to_dict() | described)
        return
    show(fields(_summary(found)), "", table(("operator", ">nodes"), found.ops.items()))
    if timed:
        show("", timed_table(timed), "", fields(timed_totals(timed)))
    elif layers:
        show("", layer_table(listed))


def _time(path: Path, input_shape: list[InputShape] | None, recipe: tuple[str, str]) -> Profile:
    from graphopt.benchmark.case import Recipe, open_case
    from graphopt.benchmark.profile import profile
    from graphopt.targets import parse_target

    with progress("profiling") as step:
        case = open_case(path, None, Recipe(parse_target(recipe[0]), recipe[1], shapes_of(input_shape)))
        found = profile(case, repeats=_REPEATS, on_step=step)
    warn_of_noise(found)
    return found


def _show_program(path: Path, *, json: bool, as_model: bool) -> None:
    from graphopt.runtime.forms import open_program
    from graphopt.runtime.manifest import Manifest

    if as_model:
        raise typer.BadParameter(
            "--text, --layers, --profile, --stage and --input-shape are for models; give the ONNX file instead"
        )
    manifest = Manifest.read(open_program(path))
    if json:
        show_json(asdict(manifest))
    else:
        show(fields(program_rows(manifest) | origin_rows(manifest)))


def _show_stage(
    path: Path,
    input_shape: list[InputShape] | None,
    stage: str,
    kernel: str | None,
    recipe: tuple[str, str],
    *,
    json: bool,
) -> None:
    from graphopt.backends.tvm.stages import Stage
    from graphopt.benchmark.case import Recipe, open_case
    from graphopt.compiler.stages import stages
    from graphopt.targets import parse_target

    target, pipeline = parse_target(recipe[0]), recipe[1]
    with progress("compiling"):
        case = open_case(path, None, Recipe(target, pipeline, shapes_of(input_shape)))
        found = stages(case.model, target, pipeline, Stage(stage), kernel)
    if json:
        kernels = list(map(asdict, found))
        show_json({"model": str(path), "target": str(target), "stage": stage, "kernels": kernels})
        return
    for one in found:
        rows: dict[str, object] = {"kernel": one.kernel, "nodes": one.nodes, "schedule": one.schedule}
        show(fields({name: value for name, value in rows.items() if value}), "", one.text.rstrip("\n"), "")


def _nodes(found: Statistics) -> str:
    if not found.kernels:
        return f"{found.nodes}"
    calls, operators = sum(found.kernels.values()), sum(found.ops.values())
    return (
        f"{found.nodes}, of which {calls} call kernels ({len(found.kernels)} different); {operators} operators in all"
    )


def _summary(found: Statistics) -> dict[str, object]:
    sizes = ", ".join(f"{quantity(size, 'B')} {dtype}" for dtype, size in found.parameter_bytes.items())
    rows: dict[str, object] = {
        "model": found.name or "(no name)",
        "opset": ", ".join(f"{domain} {version}" for domain, version in found.opsets.items()),
        "inputs": found.inputs or ("none",),
        "outputs": found.outputs or ("none",),
        "nodes": _nodes(found),
        "parameters": quantity(found.parameters) + (f" ({sizes})" if sizes else ""),
        "zeros": f"{found.zeros / found.parameters:.1%} of the parameters" if found.parameters else "no parameters",
        "operations": f"{quantity(found.macs, 'MACs')}, {quantity(found.flops, 'FLOPs')}",
        "quantized": _quantized(found),
        "activations": _activations(found),
    }
    if found.uncounted:
        without = ", ".join(f"{count} {op}" for op, count in found.uncounted.items())
        rows["not counted"] = f"{without}: shapes are not static, fix them with --input-shape"
    return rows


def _quantized(found: Statistics) -> str:
    if not found.products:
        return "no convolutions or matrix products"
    share = f", {found.quantized_macs / found.macs:.1%} of the MACs" if found.macs else ""
    return f"{found.quantized_products} of {found.products} convolutions and matrix products{share}"


def _activations(found: Statistics) -> str:
    if found.activations is None:
        return "unknown: shapes are not static, fix them with --input-shape"
    return f"at most {quantity(found.activations, 'B')} at once, at {found.activations_at}"
