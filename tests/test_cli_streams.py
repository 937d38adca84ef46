"""What becomes of output that nobody takes: a reader that leaves, a stream that is closed, a disk that is full."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import pytest


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """Return the end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as end:
        yield end


@pytest.mark.parametrize(
    "arguments", [["--help"], ["passes", "--help"], ["passes"], ["passes", "--json"]], ids=" ".join
)
def test_a_reader_that_leaves_is_no_error(arguments: list[str], unread: TextIO) -> None:
    done = printing(arguments, stdout=unread)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_reader_that_leaves_before_the_last_line_of_help_is_no_error(
    unread: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TYPER_USE_RICH", "0")  # then click prints all of the help, as it always does its last line
    done = printing(["profile", "--help"], stdout=unread)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_reader_of_errors_that_leaves_is_no_other_error(unread: TextIO) -> None:
    done = printing(["inspect", "absent.onnx"], stderr=unread)
    assert (done.returncode, done.stdout) == (141, "")


@pytest.mark.parametrize("arguments", [["passes"], ["passes", "--help"], ["--help"], ["--version"], []], ids=" ".join)
def test_a_disk_that_is_full_is_one_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = printing(arguments, stdout=full)
    assert done.returncode == 8
    assert "cannot be written to stdout: No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_is_shown_where_stdout_is_closed() -> None:
    command = f"{shlex.quote(sys.executable)} -m graphopt passes >&-"
    done = printing(["bash", "-c", command], program=())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def printing(
    arguments: Sequence[str],
    *,
    program: Sequence[str] = (sys.executable, "-m", "graphopt"),
    stdout: int | TextIO = subprocess.PIPE,
    stderr: int | TextIO = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *arguments], stdout=stdout, stderr=stderr, text=True, check=False)
