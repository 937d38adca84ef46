"""The options of commands that change weights, and how they tell what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from graphopt.inspect.fidelity import Fidelity

DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to choose by and fit to, without labels: a .npz, a .npy, or a folder of pictures.",
        show_default=False,
    ),
]
RecipeText = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="TEXT",
        help="How to train with --recover distill, as in distill{epochs=30 rate=0.02}.",
        show_default=False,
    ),
]
StorageName = Annotated[
    Literal["compact", "dense"],
    typer.Option(
        "--storage", help="How weights lie in the file: compact, for operators to make them whole at load; or dense."
    ),
]
Layers = Annotated[bool, typer.Option("--layers", help="Say what became of each layer.")]

NO_FASTER = "dense kernels compute as before: the file is smaller, a run takes as long"


def fidelity_text(fidelity: Fidelity | None, recovered: Fidelity | None, held_out: int) -> str:
    """Say how the answers compare, before recovery and after it."""
    if fidelity is None:
        return "answers not compared, for want of data"
    if recovered is None:
        return f"{fidelity} on {held_out} held-out samples"
    return f"{fidelity}, and recovered {recovered} on {held_out} held-out samples"
