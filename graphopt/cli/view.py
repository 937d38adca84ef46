"""`graphopt view`: a model in the browser, or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphopt.cli.console import mention, say, show_json
from graphopt.cli.options import InputShapes, Json, ModelPath, shapes_of
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress

ViewOutput = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where the page goes, .html, or a picture, .dot, .svg or .png; by default into a temporary folder.",
        show_default=False,
    ),
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")]


def view_model(
    model: ModelPath,
    *,
    output: ViewOutput = None,
    input_shape: InputShapes = None,
    browser: Browser = True,
    json: Json = False,
) -> None:
    """Show a model: its graph, its constants, and the work of each node where shapes are static.

    The page is one file that needs no server and no network. A picture is of the whole graph, its modules folded
    into boxes: .svg and .png need pip install 'graphopt[view]', .dot is for Graphviz.

    Examples:
      graphopt view model.onnx
      graphopt view model.onnx -o model.html --no-browser --input-shape x:1,3,224,224
      graphopt view model.onnx -o model.svg

    """
    from graphopt.report.export import check_form
    from graphopt.report.view import view

    shapes = shapes_of(input_shape)
    if output is not None:
        check_form(output)
        check_file(output)
    path = _temporary(model) if output is None else output
    with progress("drawing"):
        view(model, shapes=shapes).write(path)
    if json:
        show_json({"model": str(model), "output": str(path)})
    else:
        mention(f"{path}: written")
    if browser and path.suffix == ".html":
        _open(path)


def _temporary(model: Path) -> Path:
    """Name a page in a folder of its own, which the system clears away one day: the browser reads it later."""
    from tempfile import mkdtemp

    return Path(mkdtemp(prefix="graphopt-view-")) / f"{model.stem}.html"


def _open(path: Path) -> None:
    import webbrowser

    try:
        opened = webbrowser.open(path.absolute().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        say("no browser was found here; open the page yourself")
