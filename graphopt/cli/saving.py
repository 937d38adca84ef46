"""How a model is written: the options that commands with an output share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OutputFile = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="Where the new model goes.", show_default=False)
]
ExternalData = Annotated[
    bool | None,
    typer.Option(
        "--external-data/--inline-data",
        help="Put large tensors into FILE.data, or none; by default only beyond the 2 GB of a protobuf.",
        show_default=False,
    ),
]
ExternalThreshold = Annotated[
    int,
    typer.Option("--external-threshold", min=0, metavar="BYTES", help="The smallest tensor that goes to FILE.data."),
]
DEFAULT_THRESHOLD = 1024
