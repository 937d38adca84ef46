"""Writing so that a crash, an interrupt or a full disk never leaves half a result."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphopt.errors import OutputError


@contextmanager
def atomic_path(path: Path, *, keep_existing: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename what the body wrote there onto `path` when it succeeds.

    The body may create a file or a directory. On any failure what it left is removed and `path` stays as
    it was. A directory takes the place of another by moving the old one aside first; with `keep_existing`
    what is there by then stays, as between writers of the same content. A device or a pipe is written to:
    renamed onto, /dev/null would be a file from then on.

    Raises:
        OutputError: the place is not writable, or the disk is full.

    """
    temporary = path if _is_special(path) else path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        if temporary is not path and not (keep_existing and path.exists()):
            _install(temporary, path)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror or error}; choose a writable place with room"
        ) from error
    finally:
        if temporary is not path:
            remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a directory tree, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists() or path.is_symlink():
        path.unlink(missing_ok=True)


def _install(temporary: Path, path: Path) -> None:
    if not (temporary.is_dir() and path.is_dir()):
        temporary.replace(path)
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.old")
    path.rename(aside)
    try:
        temporary.rename(path)
    except OSError:
        aside.rename(path)
        raise
    remove(aside)


def fsync(path: Path) -> None:
    """Make the bytes of a written file durable before it is renamed."""
    if _is_special(path):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_special(path: Path) -> bool:
    return path.exists() and not (path.is_file() or path.is_dir())
