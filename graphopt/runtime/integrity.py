"""Are a program's files the ones that were written? Asked before any of them is mapped or executed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from graphopt.digests import file_digest
from graphopt.errors import ModelError


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a directory, by name."""
    return {path.name: file_digest(path).hex() for path in sorted(folder.iterdir())}


def check_presence(folder: Path, names: Iterable[str]) -> None:
    """Raise ModelError where a file of a program is missing."""
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(f"the program {str(folder)!r} lacks its file {name!r}; compile the model again")


def check_content(path: Path, digest: str) -> None:
    """Compare a program's file with what its manifest says of it; raises ModelError where it is another one."""
    if file_digest(path).hex() != digest:
        raise ModelError(f"{str(path)!r} is not the file that was compiled; compile the model again")
