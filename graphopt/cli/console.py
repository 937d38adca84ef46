"""The two ends of the terminal: results on stdout, everything else on stderr.

`show` is for what was asked for; `mention` and `say` for what helps beside it, and `--quiet` leaves out.
Colours are for terminals, and not where NO_COLOR is set or the terminal is dumb; FORCE_COLOR asks for them anywhere.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from graphopt.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_UNLIMITED_WIDTH = 10_000
_KILLED_BY_SIGPIPE = 141
_QUIET = "graphopt.quiet"


def be_quiet(context: click.Context) -> None:
    """Leave out, from now on, what was not asked for."""
    context.meta[_QUIET] = True


def is_quiet() -> bool:
    """Tell whether the command line says `--quiet`, before the command or after it."""
    context = click.get_current_context(silent=True)
    return context is not None and _QUIET in context.meta


def show(*parts: RenderableType) -> None:
    """Print results to stdout, as wide as they are where nobody looks at a terminal's width.

    Raises:
        OutputError: they cannot be written, on a disk that is full, say.

    """
    output: TextIO | None = sys.stdout  # None where the caller has closed it
    if output is not None:
        with printing():
            _print(parts, output)


def mention(*parts: RenderableType) -> None:
    """Print to stdout what was not asked for but helps, unless `--quiet` leaves it out; raises OutputError."""
    if not is_quiet():
        show(*parts)


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
    from rich.text import Text

    console = console_of(output, width=None if is_terminal else _UNLIMITED_WIDTH)
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
    """Print a line for the person, which is no result, to stderr, unless `--quiet` leaves it out."""
    if not is_quiet() and sys.stderr is not None:
        console_of(sys.stderr).print(text, soft_wrap=True)


def complain(sentence: str) -> None:
    """Print an error to stderr, on one line whatever it carries."""
    from rich.text import Text

    errors: TextIO | None = sys.stderr
    if errors is not None:
        line = Text.assemble(("error: ", "bold red"), " ".join(sentence.split()))
        console_of(errors).print(line, soft_wrap=True)


def console_of(stream: TextIO, *, width: int | None = None) -> Console:
    """Return what prints to a stream, in colours where they are wanted."""
    from rich.console import Console

    coloured = wants_colour(stream)
    return Console(
        file=stream,
        width=width,
        highlight=False,
        markup=False,
        force_terminal=True if coloured else None,
        color_system="auto" if coloured else None,
    )


def wants_colour(stream: TextIO) -> bool:
    """Tell whether what is written to a stream is to have colours (https://no-color.org, https://force-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


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
