"""`graphopt.view`: a model as a page."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from graphopt.ir.collector import patient_collector
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import ShapeSpec
from graphopt.report.document import View
from graphopt.report.history import History
from graphopt.report.story import Kind

STAGE = "model"


def view(model: Source, *, shapes: Mapping[str, ShapeSpec] | None = None) -> View:
    """Return a model as a page: `write` puts it into a file, and a notebook shows it.

        graphopt.view("model.onnx").write("model.html")

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        shapes: dimensions to fix, by input name; work is counted where shapes are static.

    Raises:
        ModelError: the model is broken, or the shapes do not fit it.

    """
    history = History(title_of(model))
    with patient_collector():
        history.look(STAGE, load(model, shapes=shapes))
    return View(history.story(Kind.MODEL))


def title_of(model: Source) -> str:
    """Return the name of a model's file; empty where it is none, and the page has the name of the graph."""
    return Path(model).name if isinstance(model, str | PathLike) else ""
