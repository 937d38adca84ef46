"""The options of commands that calibrate, and how their texts are read."""

from __future__ import annotations

from typing import Annotated

import typer

PreprocessText = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="TEXT",
        help="How pictures become inputs, as in preprocess{resize=256 crop=224 scale=1/255 mean=0.5 std=0.5}; the "
        "model keeps it. By default what it keeps already.",
        show_default=False,
    ),
]
CalibrationLimit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Take the first N samples; all by default.", show_default=False),
]


def share(text: str) -> float:
    """Read a share, as `99%` or `0.99`; raises BadParameter."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no share; write for example 99% or 0.99") from None
