"""Results on their way out: places are checked before the work."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from graphopt.errors import OutputError


def check_file(path: Path) -> None:
    """Refuse early a place where no file can be written; raises OutputError."""
    if path.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: it is a directory; name a file in it")
    _check_parent(path)


def check_picture(path: Path) -> None:
    """Refuse early what cannot be drawn; raises BadParameter, MeasurementError or OutputError."""
    from graphopt.pictures import FORMATS, check_installed

    if path.suffix not in FORMATS:
        raise typer.BadParameter(f"--plot draws {' and '.join(FORMATS)} files, not {str(path)!r}")
    check_file(path)
    check_installed()


def check_page(path: Path, option: str) -> None:
    """Refuse early a place where no page can be written; raises BadParameter or OutputError."""
    if path.suffix != ".html":
        raise typer.BadParameter(f"{option} writes a page, and {str(path)!r} is not named so; name a file .html")
    check_file(path)


def check_program(path: Path) -> None:
    """Refuse early a place where no program can be written, as a file or a directory; raises OutputError.

    A directory that holds anything but an older program would be replaced.
    """
    from graphopt.runtime.forms import SUFFIX
    from graphopt.runtime.manifest import FILE_NAME

    if path.suffix == SUFFIX:
        check_file(path)
        return
    if path.is_dir() and any(path.iterdir()) and not (path / FILE_NAME).is_file():
        raise OutputError(f"{str(path)!r} holds other files, which would be lost; name a new or an empty directory")
    if path.exists() and not path.is_dir():
        raise OutputError(
            f"cannot write {str(path)!r}: it is a file; name a new or an empty directory, or a file {SUFFIX}"
        )
    _check_parent(path)


def _check_parent(path: Path) -> None:
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: there is no directory {str(parent)!r}; make it first")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"cannot write {str(path)!r}: {str(parent)!r} is not writable; choose another place")
