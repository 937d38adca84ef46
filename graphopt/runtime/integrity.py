"""Are a program's files the ones that were written? Asked before any of them is mapped or executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from graphopt.digests import file_digest
from graphopt.errors import ModelError


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a directory, by name."""
    return {path.name: file_digest(path).hex() for path in sorted(folder.iterdir())}


def check(folder: Path, expected: Mapping[str, str]) -> None:
    """Compare a program's files with what its manifest says of them.

    Raises:
        ModelError: a file is missing, truncated or altered.

    """
    for name, digest in expected.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise ModelError(f"the program {str(folder)!r} lacks its file {name!r}; compile the model again")
        if file_digest(path).hex() != digest:
            raise ModelError(f"{str(path)!r} is not the file that was compiled; compile the model again")
