"""`graphopt run`: a program, or a model compiled on the spot, on inputs."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.console import mention, say, show, show_json
from graphopt.cli.options import InputShapes, Json, Seed, TargetText, Threads, shapes_of
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.render import table
from graphopt.errors import RunError

if TYPE_CHECKING:
    from graphopt.compiler.optimize import Shapes
    from graphopt.runtime.module import CompiledModule
    from graphopt.tensors import Array

Program = Annotated[
    Path,
    typer.Argument(metavar="PROGRAM", help="What `graphopt compile` wrote, or an ONNX file.", show_default=False),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=FILE.npy|FEEDS.npz",
        help="The inputs, by name; random ones otherwise.",
        show_default=False,
    ),
]
TrustedKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE.pem", help="Run the program only if this public key signed it.", show_default=False),
]
OutputFile = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="OUT.npz", help="Where outputs go.", show_default=False)
]


def run_program(
    program: Program,
    *,
    inputs: Inputs = None,
    output: OutputFile = None,
    target: TargetText = "cpu",
    input_shape: InputShapes = None,
    threads: Threads = None,
    trusted_key: TrustedKey = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Run a program on inputs, and describe or keep its outputs.

    An ONNX file is compiled first; --target, --input-shape and --threads are about that. What numpy's files
    have no type for is named: the bfloat16 output y is the uint16 array y:bfloat16, and goes in like that too.

    Examples:
      graphopt run program.gopt --input image=image.npy -o outputs.npz
      graphopt run model.onnx --input feeds.npz --json
      graphopt run model.onnx --seed 7

    """
    from graphopt.cli.feeds import random_feeds_of, read_feeds
    from graphopt.runtime.forms import is_program

    shapes = shapes_of(input_shape)
    if is_program(program) and (shapes or threads or target != "cpu"):
        raise typer.BadParameter("a compiled program has its target, shapes and threads; give its ONNX file instead")
    if trusted_key and not is_program(program):
        raise typer.BadParameter("a model has no signature that --trusted-key could tell; give a program")
    if output:
        check_file(output)
    given = read_feeds(inputs) if inputs else None
    module = _open(program, target, shapes, threads, trusted_key)
    feeds = given if given is not None else random_feeds_of(module, seed=seed)
    try:
        results = module.run(feeds)
    except RunError as error:
        raise RunError(f"{error}; `graphopt inspect {shlex.quote(str(program))}` shows what it takes") from error
    if output:
        from graphopt.cli.elements import encode
        from graphopt.npz import write_arrays

        write_arrays(output, dict(itertools.starmap(encode, results.items())))
    if json:
        written = str(output) if output else None
        outputs = [_describe(name, array) for name, array in results.items()]
        show_json({"program": str(program), "seed": None if inputs else seed, "output": written, "outputs": outputs})
        return
    if not inputs and module.inputs:
        say(f"no --input given: the inputs are random, from seed {seed}")
    (mention if output else show)(table(("output", "dtype", "shape", ">min", ">mean", ">max"), _rows(results)))
    if output:
        mention("", f"{output}: written")


def _open(
    program: Path, target: str, shapes: Shapes | None, threads: int | None, trusted_key: Path | None
) -> CompiledModule:
    from graphopt.runtime.forms import is_program

    if is_program(program):
        from graphopt.runtime.module import load

        return load(program, trusted_key=trusted_key)
    from graphopt.compiler.compile import compile

    with progress("compiling") as step:
        return compile(program, target, shapes=shapes, threads=threads, on_stage=step)


def _describe(name: str, array: Array) -> dict[str, object]:
    """Describe an output; its range is None where it has no elements or they are no numbers."""
    import numpy as np

    measured = array.size and array.dtype.kind not in "OUSc"
    wide = array.astype(np.float64) if measured else None
    return {
        "name": name,
        "dtype": array.dtype.name,
        "shape": array.shape,
        "min": None if wide is None else float(wide.min()),
        "mean": None if wide is None else float(wide.mean()),
        "max": None if wide is None else float(wide.max()),
    }


def _rows(results: Mapping[str, Array]) -> Iterator[tuple[object, ...]]:
    for name, array in results.items():
        described = _describe(name, array)
        span = (described[key] for key in ("min", "mean", "max"))
        numbers = ("" if number is None else f"{number:.6g}" for number in span)
        yield name, described["dtype"], list(array.shape), *numbers
