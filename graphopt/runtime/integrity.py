"""Are a program's files the ones that were written? Asked before any of them is executed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from graphopt.digests import digest, file_digest
from graphopt.errors import ModelError
from graphopt.runtime.contents import Contents


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a directory, by name."""
    return {path.name: file_digest(path).hex() for path in sorted(folder.iterdir())}


def check_presence(contents: Contents, names: Collection[str], own: Collection[str]) -> None:
    """Raise ModelError where a file of a program is missing, or one is there that neither it nor graphopt made."""
    for name in names:
        if not contents.holds(name):
            raise ModelError(f"the program {str(contents.path)!r} lacks its file {name!r}; compile the model again")
    for name in contents.strange({*names, *own}):
        raise ModelError(
            f"the program {str(contents.path)!r} holds {name!r}, of which its manifest says nothing; do not use it"
        )


def check_content(contents: Contents, name: str, expected: str) -> None:
    """Compare a program's file with what its manifest says of it; raises ModelError where it is another one."""
    if digest([contents.view(name).data]).hex() != expected:
        raise ModelError(f"{contents.where(name)} is not the file that was compiled; compile the model again")
