"""The two forms of a program: one file to send, `NAME.gopt`, and a directory under any other name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from graphopt.files import atomic_path
from graphopt.runtime.archive import Archive, write_archive
from graphopt.runtime.contents import Contents
from graphopt.runtime.folder import Folder, write_folder
from graphopt.tensors import Array

SUFFIX = ".gopt"


def is_program(path: Path) -> bool:
    """Whether a path is that of a program, as far as can be seen without opening it; a model is a file."""
    return path.is_dir() or path.suffix == SUFFIX


def open_program(path: Path) -> Contents:
    """Open a program in either form; raises ModelError."""
    return Archive(path) if path.is_file() else Folder(path)


def write_program(files: Mapping[str, Array], path: Path) -> None:
    """Write the files of a program, each uint8, in the form that the path has; raises OutputError."""
    write = write_archive if path.suffix == SUFFIX else write_folder
    with atomic_path(path) as temporary:
        write(files, temporary)
