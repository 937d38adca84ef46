"""The two ends of the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

from graphopt.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_UNLIMITED_WIDTH = 10_000
_KILLED_BY_SIGPIPE = 141


def show(*parts: RenderableType) -> None:
    """Print results to stdout, as wide as they are where nobody looks at a terminal's width.

    Raises:
        OutputError: they cannot be written, on a disk that is full, say.

    """
    output: TextIO | None = sys.stdout  # None where the caller has closed it
    if output is not None:
        with printing():
            _print(parts, output)


@contextmanager
def printing() -> Iterator[None]:
    """Say what happened where the body, which prints to stdout, cannot; end quietly if nobody reads it.

    Raises:
        OutputError: what it prints cannot be written.

    """
    try:
        yield
    except BrokenPipeError:
        leave_quietly()
    except OSError as error:
        _forget(sys.stdout)
        reason = error.strerror or str(error)
        raise OutputError(f"the results cannot be written to stdout: {reason}; send them elsewhere") from error


def _print(parts: Sequence[RenderableType], output: TextIO) -> None:
    is_terminal = output.isatty()
    if not is_terminal and all(isinstance(part, str) for part in parts):
        output.writelines(f"{part}\n" for part in parts)
        output.flush()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if is_terminal else _UNLIMITED_WIDTH, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str | Text))


def leave_quietly() -> NoReturn:
    """End with the exit code of a program that SIGPIPE ended: the reader of our output went away."""
    for stream in (sys.stdout, sys.stderr):
        _forget(stream)
    raise SystemExit(_KILLED_BY_SIGPIPE)


def _forget(stream: TextIO | None) -> None:
    """Let what is still buffered go nowhere: it would fail again when the interpreter flushes at its end."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
    errors: TextIO | None = sys.stderr  # None where the caller has closed it
    if errors is None or not errors.isatty():
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = _stderr()
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bars:
        task = bars.add_task(title, total=None)
        yield lambda step: bars.update(task, description=f"{title}: {step}")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar while the body runs, if stderr is a terminal.

    The body gets the function that says which step is in hand, how much of it is done, and of how much if that is
    known.
    """
    errors: TextIO | None = sys.stderr  # None where the caller has closed it
    if errors is None or not errors.isatty():
        yield lambda *_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = _stderr()
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bars:
        task = bars.add_task(title, total=None)
        yield lambda step, done, total: bars.update(task, description=f"{title}: {step}", completed=done, total=total)


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
