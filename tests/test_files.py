from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from graphopt.errors import OutputError
from graphopt.files import atomic_path, fsync


def test_success_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_replaces_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "program"
    for content in ("one", "two"):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / "file").write_text(content)
    assert (path / "file").read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_of_two_writers_of_the_same_content_wins(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    with atomic_path(path, keep_existing=True) as outer:
        outer.mkdir()
        with atomic_path(path, keep_existing=True) as inner:
            inner.mkdir()
            (inner / "winner").touch()
    assert [child.name for child in path.iterdir()] == ["winner"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_what_was_there(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(failure), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with (
        pytest.raises(OutputError, match="cannot write .*file.*: No space left on device"),
        atomic_path(path) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="choose a writable place"),
        atomic_path(tmp_path / "no" / "file") as temporary,
    ):
        temporary.write_text("x")


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_path(path) as place:
        place.write_bytes(b"bytes")
        fsync(place)
    assert os.read(reader, 10) == b"bytes"
    os.close(reader)
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]
