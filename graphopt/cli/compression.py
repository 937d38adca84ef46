"""The options of commands that make models smaller, and how those that change weights tell what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphopt.cli.completion import one_of
from graphopt.cli.console import mention, show, show_json

if TYPE_CHECKING:
    from rich.table import Table

    from graphopt.compiler.compression_report import CompressionReport
    from graphopt.inspect.fidelity import Fidelity

_BUDGET = "-40% for so much less, 60% for what stays, or an amount"


def budget(option: str, what: str) -> Any:
    """Return the option of a budget."""
    return typer.Option(f"--{option}", metavar="AMOUNT", help=f"{what}: {_BUDGET}.", show_default=False)


Macs = Annotated[str | None, budget("macs", "Multiply-adds of a run")]
Flops = Annotated[str | None, budget("flops", "Floating-point operations of a run")]
Params = Annotated[str | None, budget("params", "Elements of all constants")]
Bytes = Annotated[str | None, budget("bytes", "Bytes of all constants")]
LabelsPath = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE.npy",
        help="The class of each sample, to report accuracies; distillation learns from them too.",
        show_default=False,
    ),
]
RecoveryName = Annotated[
    str | None,
    typer.Option(
        "--recover",
        metavar="NAME",
        help="How what is left is fitted to the model's answers: none, least-squares, distill; least-squares by "
        "default where there are data.",
        show_default=False,
        autocompletion=one_of("none", "least-squares", "distill"),
    ),
]
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

_NO_FASTER = "dense kernels compute as before: the file is smaller, a run takes as long"


def tell_of_weights(
    model: Path,
    output: Path,
    report: CompressionReport,
    *,
    first: Sequence[str],
    fidelity: Fidelity | None,
    layers: Table | None,
    json: bool,
) -> None:
    """Tell what came of a model with other weights: what is its own `first`, before that the layers if any."""
    from graphopt.cli.summary import quantity

    if json:
        show_json({"model": str(model), "output": str(output), **report.to_dict()})
        return
    if layers is not None:
        show(layers, "")
    parts = [
        *first,
        f"{quantity(report.bytes_before, 'B')} → {quantity(report.bytes_after, 'B')}",
        _fidelity_text(fidelity, report.recovered, report.held_out),
        _NO_FASTER,
        f"{sum(report.seconds.values()):.1f} s",
    ]
    mention(f"{output}: written, {', '.join(parts)}")


def _fidelity_text(fidelity: Fidelity | None, recovered: Fidelity | None, held_out: int) -> str:
    """Say how the answers compare, before recovery and after it."""
    if fidelity is None:
        return "answers not compared, for want of data"
    if recovered is None:
        return f"{fidelity} on {held_out} held-out samples"
    return f"{fidelity}, and recovered {recovered} on {held_out} held-out samples"
