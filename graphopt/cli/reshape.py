"""`graphopt reshape`: a model for other input shapes than those it was exported with."""

from __future__ import annotations

from typing import Annotated

import typer

from graphopt.cli.console import mention, show_json
from graphopt.cli.options import InputShapes, Json, ModelPath, Seed, shapes_of
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

Batch = Annotated[
    str | None,
    typer.Option(
        "--batch", metavar="N", help="The first axis of every input: a size, or a name for any.", show_default=False
    ),
]


def reshape_model(
    model: ModelPath,
    *,
    output: OutputFile,
    batch: Batch = None,
    input_shape: InputShapes = None,
    seed: Seed = 0,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Change input shapes that were fixed at export; the new model is tried against the old one.

    A batch must answer what its samples answer one by one. Names make dimensions dynamic, or rename them.

    Examples:
      graphopt reshape model.onnx -o batched.onnx --batch N
      graphopt reshape model.onnx -o larger.onnx --input-shape image:1,3,448,448
      graphopt reshape model.onnx -o dynamic.onnx --input-shape image:N,3,height,width

    """
    from graphopt.compiler.reshape import rebatch, reshape
    from graphopt.ir.save import save

    shapes = shapes_of(input_shape)
    if (batch is None) == (shapes is None):
        raise typer.BadParameter("give --batch or --input-shape, and not both")
    if batch is not None and not (batch.isidentifier() or (batch.isascii() and batch.isdigit())):
        raise typer.BadParameter(f"{batch!r} is no batch; give a size or a name")
    check_file(output)
    with progress("reshaping") as step:
        if batch is not None:
            changed = rebatch(model, int(batch) if batch.isdigit() else batch, seed=seed)
        else:
            changed = reshape(model, shapes or {}, seed=seed)
        step("saving")
        save(changed, output, external_data=external_data, smallest_external=external_threshold)
    if json:
        inputs = {str(value.name): [_plain(dim) for dim in value.shape or ()] for value in changed.graph.inputs}
        show_json({"model": str(model), "output": str(output), "inputs": inputs})
    else:
        takes = ", ".join(f"{value.name}: {value.shape}" for value in changed.graph.inputs)
        mention(f"{output}: written, takes {takes}")


def _plain(dim: object) -> object:
    return dim if isinstance(dim, int) else str(dim)
