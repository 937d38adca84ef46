"""Where a training is kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class CheckpointFile(NamedTuple):
    """A file that is written at each end of an epoch and by Ctrl-C; with `resume`, the training goes on from it."""

    path: Path
    resume: bool = False
