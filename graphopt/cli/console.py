"""The two ends of the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_UNLIMITED_WIDTH = 10_000
_KILLED_BY_SIGPIPE = 141


def show(*parts: RenderableType) -> None:
    """Print results to stdout, as wide as they are where nobody looks at a terminal's width."""
    if not sys.stdout.isatty() and all(isinstance(part, str) for part in parts):
        _write_plain(f"{part}\n" for part in parts)
        return
    from rich.text import Text

    from graphopt.cli.pipe import Pipe

    console = Pipe(width=None if sys.stdout.isatty() else _UNLIMITED_WIDTH, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str | Text))


def _write_plain(lines: Iterable[str]) -> None:
    try:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()


def leave_quietly() -> NoReturn:
    """End with the exit code of a program that SIGPIPE ended: the reader of our output went away."""
    # What is still buffered would fail again when the interpreter flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(_KILLED_BY_SIGPIPE)


def show_json(data: object) -> None:
    """Print one JSON document to stdout; numbers that JSON lacks (NaN, infinities) become null."""
    show(json.dumps(_standard(data), indent=2, allow_nan=False))


def say(text: str) -> None:
    """Print a line for the person, which is no result, to stderr."""
    _stderr().print(text, soft_wrap=True)


def complain(sentence: str) -> None:
    """Print an error to stderr, on one line whatever it carries."""
    from rich.text import Text

    _stderr().print(Text.assemble(("error: ", "bold red"), " ".join(sentence.split())), soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner, the time and the step in hand while the body runs, if stderr is a terminal.

    The body gets the function that names its next step.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = _stderr()
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bars:
        task = bars.add_task(title, total=None)
        yield lambda step: bars.update(task, description=f"{title}: {step}")


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False)


def _standard(data: object) -> object:
    match data:
        case Mapping():
            return {str(key): _standard(value) for key, value in data.items()}
        case str():
            return str(data)
        case Sequence():
            return [_standard(element) for element in data]
        case float() if not math.isfinite(data):
            return None
        case _:
            return data
