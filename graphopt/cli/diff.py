"""`graphopt diff`: what was removed, added, rewired and re-weighted between two models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import Json
from graphopt.cli.output import check_page
from graphopt.cli.progress import progress

if TYPE_CHECKING:
    from graphopt.inspect.diff.record import Diff

Before = Annotated[Path, typer.Argument(metavar="BEFORE", help="An ONNX file.", show_default=False)]
After = Annotated[Path, typer.Argument(metavar="AFTER", help="The ONNX file to hold against it.", show_default=False)]
ComparedPage = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE.html", help="Write a page that shows both graphs, for a browser.", show_default=False
    ),
]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="End with 1 if there are differences, as git does.")]
_DIFFERENT = 1


def diff_models(
    before: Before, after: After, *, html: ComparedPage = None, exit_code: ExitCode = False, json: Json = False
) -> None:
    """Say what differs between two models: nodes removed and added, inputs rewired, weights changed.

    Nodes are matched by what they compute and hold, not by their names; other names of inputs and outputs are a note,
    no difference. Where the files tell which rewrites made a node, so does this.

    Examples:
      graphopt diff model.onnx optimized.onnx
      graphopt diff model.onnx model_v2.onnx --json
      graphopt diff model.onnx model_v2.onnx --html difference.html
      graphopt diff model.onnx renamed.onnx --exit-code && echo the same

    """
    from graphopt.compiler.diff import Comparison

    if html:
        check_page(html, "--html")
    with progress("comparing"):
        comparison = Comparison.of(before, after)
        found = comparison.compared.diff
        if html:
            comparison.page().write(html)
    if json:
        show_json({"before": str(before), "after": str(after), **found.to_dict()})
    else:
        _tell(found, mention if exit_code else show)
    if exit_code and found:
        raise typer.Exit(_DIFFERENT)


def _tell(found: Diff, tell: Callable[..., None]) -> None:
    from rich.text import Text

    from graphopt.cli.difference import SIGNS, differences, summary

    lines = [Text(f"{sign} {text}", style=SIGNS[sign]) for sign, text in differences(found)]
    lines += [Text(f"note: {note}", style="dim") for note in found.notes]
    tell(*lines, *([""] if lines else []), summary(found))
