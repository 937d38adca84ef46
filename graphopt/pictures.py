"""Pictures that matplotlib draws, an extra: whether it is there, and the way of a figure into a file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from graphopt.errors import MeasurementError
from graphopt.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ".png", ".svg"


def check_installed() -> None:
    """Refuse to draw where matplotlib is missing; raises MeasurementError."""
    if find_spec("matplotlib") is None:
        raise MeasurementError("a picture is drawn by matplotlib, which is not installed; run: pip install matplotlib")


def save(figure: Figure, path: Path) -> None:
    """Write a figure into a file of one of `FORMATS`; raises OutputError."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=150)
