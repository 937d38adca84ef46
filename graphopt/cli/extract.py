"""`graphopt extract`: a part of a model as a model of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from graphopt.cli.console import mention, show_json
from graphopt.cli.options import Json, ModelPath
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

Inputs = Annotated[
    str | None,
    typer.Option(
        "--inputs", metavar="A,B", help="The values to start from; the model's inputs by default.", show_default=False
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        "--outputs", metavar="C,D", help="The values to compute; the model's outputs by default.", show_default=False
    ),
]


def extract_model(
    model: ModelPath,
    *,
    output: OutputFile,
    inputs: Inputs = None,
    outputs: Outputs = None,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Cut out the part of a model that lies between two sets of values.

    Examples:
      graphopt extract model.onnx -o head.onnx --inputs features --outputs logits
      graphopt extract model.onnx -o backbone.onnx --outputs stage3,stage4

    """
    from graphopt.ir.extract import extract
    from graphopt.ir.save import save

    if inputs is None and outputs is None:
        raise typer.BadParameter("name --inputs, --outputs or both")
    check_file(output)
    with progress("extracting") as step:
        part = extract(model, _names(inputs), _names(outputs))
        step("saving")
        save(part, output, external_data=external_data, smallest_external=external_threshold)
    if json:
        inputs_of, outputs_of = ([value.name for value in values] for values in (part.graph.inputs, part.graph.outputs))
        found = {"nodes": part.graph.num_nodes(), "inputs": inputs_of, "outputs": outputs_of}
        show_json({"model": str(model), "output": str(output), **found})
    else:
        mention(f"{output}: written, {part.graph.num_nodes()} nodes")


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
