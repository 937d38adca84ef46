"""`graphopt rename`: other names for inputs, outputs, values and nodes."""

from __future__ import annotations

from typing import Annotated

import typer

from graphopt.cli.console import mention, show_json
from graphopt.cli.options import Json, ModelPath
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

Pairs = Annotated[list[str] | None, typer.Argument(metavar="OLD=NEW…", help="What to rename.", show_default=False)]
Prefix = Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Goes before every other name.")]
Sanitize = Annotated[bool, typer.Option("--sanitize", help="Make every other name a valid C identifier.")]


def rename_model(
    model: ModelPath,
    names: Pairs = None,
    *,
    output: OutputFile,
    prefix: Prefix = "",
    sanitize: Sanitize = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Rename values and nodes, one by one or all by a rule; the answers stay the same.

    Examples:
      graphopt rename model.onnx input.1=image 509=logits -o named.onnx
      graphopt rename model.onnx --prefix encoder. -o encoder.onnx
      graphopt rename model.onnx --sanitize -o c.onnx

    """
    from graphopt.ir.rename import rename
    from graphopt.ir.save import save

    wanted: dict[str, str] = {}
    for pair in names or ():
        old, equals, new = pair.partition("=")
        if not (old and equals and new) or old in wanted:
            raise typer.BadParameter(f"{pair!r} does not say what becomes what; write OLD=NEW, each OLD once")
        wanted[old] = new
    if not (wanted or prefix or sanitize):
        raise typer.BadParameter("nothing to rename; write OLD=NEW, --prefix or --sanitize")
    check_file(output)
    with progress("renaming") as step:
        renamed = rename(model, wanted, prefix=prefix, sanitize=sanitize)
        step("saving")
        save(renamed, output, external_data=external_data, smallest_external=external_threshold)
    if json:
        ends = {"inputs": renamed.graph.inputs, "outputs": renamed.graph.outputs}
        names_of = {end: [value.name for value in values] for end, values in ends.items()}
        show_json({"model": str(model), "output": str(output), **names_of})
    else:
        mention(f"{output}: written")
