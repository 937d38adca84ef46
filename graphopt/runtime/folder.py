"""A program in a directory: as it is compiled, and to look into."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from graphopt.errors import ModelError
from graphopt.runtime.contents import Contents, mapped
from graphopt.tensors import Array


class Folder(Contents):
    """A program in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holds(self, name: str) -> bool:
        """See Contents."""
        return Path(name).name == name and (self.path / name).is_file()

    def strange(self, known: Collection[str]) -> Collection[str]:  # noqa: ARG002  # the signature of all contents
        """See Contents; what else lies in a directory is its user's."""
        return ()

    def view(self, name: str) -> Array:
        """See Contents."""
        try:
            return mapped(self.path / name)
        except OSError as error:
            raise ModelError(f"cannot read {self.where(name)}: {error.strerror}; compile the model again") from error

    def file(self, name: str) -> AbstractContextManager[Path]:
        """See Contents."""
        return nullcontext(self.path / name)

    def model(self, name: str) -> tuple[Path | bytes, Mapping[str, Array]]:
        """See Contents."""
        return self.path / name, {}

    def where(self, name: str) -> str:
        """See Contents."""
        return repr(str(self.path / name))


def write_folder(files: Mapping[str, Array], path: Path) -> None:
    """Write the files of a program into a new directory; raises OSError."""
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content.data)
