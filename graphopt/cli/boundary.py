"""Where exceptions end: one line on stderr and an exit code that scripts can trust.

    0    done; for `check` and `bench`: and the answers are equal
    1    `check` or `bench` found different answers, `diff --exit-code` different models
    2    the command line itself
    3–11 what the user can mend
    70   a bug in graphopt
    130  interrupted
    141  the reader of our output went away

The numbers from 3 to 11 stand with their exceptions in graphopt.errors.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from click import ClickException
from typer.core import TyperCommand, TyperGroup

from graphopt.cli.console import complain, leave_quietly, printing
from graphopt.errors import GraphoptError

_BUG = 70
INTERRUPTED = 130


class ErrorBoundary(TyperGroup):
    """The commands of graphopt, none of which lets an exception through."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line, help and wrong usage included; end quietly if the reader of what it prints goes away."""
        try:
            return super().main(*args, **kwargs)
        except SystemExit as ending:
            if isinstance(ending.__context__, BrokenPipeError):  # rich and click end with 1, which is an answer here
                leave_quietly()
            raise

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before the command; `--help` and `--version` print while they are read."""
        with _boundary(ctx), printing():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command, the reading of its own options included."""
        with _boundary(ctx):
            return super().invoke(ctx)


class Command(TyperCommand):
    """One command of graphopt, whose help is printed as results are."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; `--help` prints while it is read."""
        with printing():
            return super().parse_args(ctx, args)


@contextmanager
def _boundary(ctx: typer.Context) -> Iterator[None]:
    """End with a sentence and an exit code where the body raises; print the traceback if `--traceback` asks for it."""
    try:
        yield
    except (typer.Exit, typer.Abort, ClickException):
        raise  # typer's own ways to end, wrong usage among them
    except (Exception, KeyboardInterrupt) as error:
        if ctx.params.get("traceback"):
            traceback.print_exception(error)
        complain(_sentence(error))
        raise typer.Exit(_exit_code(error)) from error


def _sentence(error: BaseException) -> str:
    match error:
        case GraphoptError():
            return str(error)
        case KeyboardInterrupt():
            return "interrupted"
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return f"{what}; this is a bug in graphopt, `graphopt --traceback …` shows where"


def _exit_code(error: BaseException) -> int:
    match error:
        case GraphoptError():
            return error.exit_code
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            return _BUG
