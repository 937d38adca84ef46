"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from graphopt.cli.completion import complete_pipeline, complete_preset, complete_target, one_of
from graphopt.errors import PipelineError
from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS

if TYPE_CHECKING:
    from graphopt.targets import Target

Dims = tuple[int | str | None, ...]


class InputShape(NamedTuple):
    """A shape to bind: an entry is a size, a name, or None for what the model declares."""

    name: str
    dims: Dims


def parse_input_shape(text: str) -> InputShape:
    """Read `x:1,3,224,224`, `x:N,3,?,?` or, for a scalar, `x:`; raises BadParameter.

    The name ends at the last colon, since names such as `input:0` carry one themselves.
    """
    name, colon, dims = text.rpartition(":")
    if not (colon and name):
        raise typer.BadParameter(f"{text!r} names no input; write NAME:DIMS, for example x:1,3,224,224")
    entries = [entry.strip() for entry in dims.split(",")] if dims.strip() else []
    return InputShape(name, tuple(_dim(entry, text) for entry in entries))


def shapes_of(given: list[InputShape] | None) -> dict[str, Dims] | None:
    """Collect the shapes by input; raises BadParameter where one input has two."""
    shapes: dict[str, Dims] = {}
    for shape in given or ():
        if shape.name in shapes:
            raise typer.BadParameter(f"--input-shape is given twice for {shape.name!r}; keep one")
        shapes[shape.name] = shape.dims
    return shapes or None


def shape_table_of(given: list[InputShape] | None) -> list[dict[str, Dims]]:
    """Collect sets of shapes: the first of each input, the second of each, …; a single one is in every set.

    Raises:
        BadParameter: two inputs have several shapes each, and not as many.

    """
    by_input: dict[str, list[Dims]] = {}
    for shape in given or ():
        by_input.setdefault(shape.name, []).append(shape.dims)
    counts = {len(several): name for name, several in by_input.items() if len(several) > 1}
    if len(counts) > 1:
        listed = " and ".join(f"{count} times for {name!r}" for count, name in sorted(counts.items()))
        raise typer.BadParameter(f"--input-shape is given {listed}; give every input as many shapes, or one")
    return [
        {name: several[index if len(several) > 1 else 0] for name, several in by_input.items()}
        for index in range(max(counts, default=1))
    ]


def pipeline_text(pipeline: str | None, preset: str | None) -> str:
    """Return the pipeline to run, the default preset if none is said.

    Raises:
        BadParameter: both are given.
        PipelineError: there is no such preset.

    """
    if pipeline is not None and preset is not None:
        raise typer.BadParameter("--pipeline and --preset exclude each other; a pipeline may name presets: O1,…")
    if preset is not None and preset not in PRESETS:
        raise PipelineError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    return pipeline if pipeline is not None else preset or DEFAULT_PRESET


def target_of(text: str, threads: int | None, precision: str | None) -> Target:
    """Read a target; the other options go before what it says. Raises TargetError."""
    import dataclasses

    from graphopt.targets import parse_target, with_precision

    target = parse_target(text)
    if threads is not None:
        target = dataclasses.replace(target, cores=threads)
    return target if precision is None else with_precision(target, precision)


def _dim(entry: str, text: str) -> int | str | None:
    if entry == "?":
        return None
    if entry.isascii() and entry.isdigit():
        return int(entry)
    if entry.isidentifier():
        return entry
    raise typer.BadParameter(f"{entry!r} in {text!r} is no dimension; give a size, a name, or ? for as declared")


ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.", show_default=False)]
InputShapes = Annotated[
    list[InputShape] | None,
    typer.Option(
        "--input-shape",
        parser=parse_input_shape,
        metavar="NAME:DIMS",
        help="Fix the shape of an input, as in x:1,3,224,224; once an input.",
        show_default=False,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", min=1, metavar="N", help="The size of free leading dimensions; 1 by default.", show_default=False
    ),
]
SeveralInputShapes = Annotated[
    list[InputShape] | None,
    typer.Option(
        "--input-shape",
        parser=parse_input_shape,
        metavar="NAME:DIMS",
        help="Fix the shape of an input, as in x:1,3,224,224. Each further shape of the same input makes one more "
        "variant of the code: of several inputs the first shapes belong together, the second ones, and so on, and "
        "an input with one shape has it in every variant.",
        show_default=False,
    ),
]
PipelineText = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        metavar="TEXT",
        help="The passes to run, in order, as text: `graphopt passes` lists them.",
        show_default=False,
        autocompletion=complete_pipeline,
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"A pipeline with a name: {', '.join(PRESETS)}; {DEFAULT_PRESET} if nothing is said.",
        show_default=False,
        autocompletion=complete_preset,
    ),
]
TargetText = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="What to compile for: cpu, cpu{mcpu=haswell}, c, wasm32, cuda{arch=sm_90}, onnxruntime.",
        autocompletion=complete_target,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="How many threads to use; all cores by default."),
]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="What convolutions and matrix products multiply in: fp32, bf16 where the processor has it, or auto, which "
        "is bf16 where that is faster. By default what the target says, and fp32 where it says nothing.",
        show_default=False,
        autocompletion=one_of("fp32", "bf16", "auto"),
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither look for a cached program nor keep this one.")]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="The seed of everything random.")]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tolerance", min=0.0, metavar="X", help="The largest difference of an output, relative to its largest value."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FEEDS.npz", help="Inputs by name; random ones otherwise.", show_default=False),
]
PageFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write a page that shows the graph before and after each pass, for a browser.",
        show_default=False,
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Say what was done, what was refused, and why.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
