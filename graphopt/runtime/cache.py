"""A content-addressed store of compiled programs: the same request is built once on a machine.

An entry is a directory named by the hash of everything it depends on; a file there is none. Writers build beside it
and rename, so that a reader sees a whole entry or none, and of two writers at once the first wins.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs

from graphopt.errors import OutputError
from graphopt.files import atomic_path, remove

_FOLDER_VARIABLE = "GRAPHOPT_CACHE"


def cache_folder() -> Path:
    """Return where entries live: `$GRAPHOPT_CACHE`, or the user's cache directory."""
    chosen = os.environ.get(_FOLDER_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("graphopt")


def key_of(parts: Iterable[bytes]) -> str:
    """Hash what an entry depends on."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def entry(key: str, build: Callable[[Path], None]) -> Path:
    """Return the entry of a key, building it by `build(folder)` where there is none. Raises OutputError."""
    path = cache_folder() / key
    if path.is_dir():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the cache {str(path.parent)!r}: {error.strerror}; set {_FOLDER_VARIABLE} or turn it off"
        ) from error
    with atomic_path(path, keep_existing=True) as temporary:
        temporary.mkdir()
        build(temporary)
    return path


def holds(key: str) -> bool:
    """Whether a key has an entry."""
    return (cache_folder() / key).is_dir()


def discard(key: str) -> None:
    """Remove one entry, if there is one."""
    remove(cache_folder() / key)


def size() -> int:
    """Return the bytes of all entries."""
    return sum(path.stat().st_size for entry in _entries() for path in entry.rglob("*") if path.is_file())


def clear() -> int:
    """Remove all entries; return how many there were."""
    entries = _entries()
    for path in entries:
        remove(path)
    return len(entries)


def _entries() -> list[Path]:
    folder = cache_folder()
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
