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

import click
import typer
from click import ClickException
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.utils import get_params_from_function

from graphopt.cli.console import be_quiet, complain, leave_quietly, printing, show
from graphopt.cli.help import help_text, sections
from graphopt.cli.start import INTERRUPTED, was_interrupted
from graphopt.errors import GraphoptError

_WRONG_USAGE = 2
_BUG = 70


class ErrorBoundary(TyperGroup):
    """The commands of graphopt, none of which lets an exception through."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_quiet_option())

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
            if not args and not ctx.resilient_parsing:
                show(self.get_help(ctx))
                raise typer.Exit(_WRONG_USAGE)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command, the reading of its own options included."""
        with _boundary(ctx):
            return super().invoke(ctx)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, options in the order that all commands have."""
        return help_text(self, ctx)


class Command(TyperCommand):
    """One command of graphopt: it can be quiet, its help is printed as results are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _give_back_help(self)
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        options = sections([*self.params, _quiet_option()])
        self.params = [*arguments, *(option for several in options.values() for option in several)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; `--help` prints while it is read."""
        with printing(), _of(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; wrong usage that it finds itself is told as of this command."""
        with _of(ctx):
            return super().invoke(ctx)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, options in the order that all commands have."""
        return help_text(self, ctx)


def _give_back_help(command: click.Command) -> None:
    """Tell arguments what they are: with click 8.5, which has taken up their help itself, typer 0.25 loses it."""
    declared = get_params_from_function(command.callback) if command.callback else {}
    for param in command.params:
        if isinstance(param, TyperArgument) and param.help is None:
            param.help = declared[str(param.name)].default.help


def _quiet_option() -> TyperOption:
    """Return `--quiet`, which every command has and whose parameter none has to take."""

    def obey(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            be_quiet(ctx)

    return TyperOption(
        param_decls=["--quiet", "-q"],
        is_flag=True,
        default=False,
        expose_value=False,
        callback=obey,
        help="Print errors and what was asked for, nothing else.",
    )


@contextmanager
def _of(ctx: click.Context) -> Iterator[None]:
    """Note on wrong usage which command it is of."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


@contextmanager
def _boundary(ctx: typer.Context) -> Iterator[None]:
    """End with a sentence and an exit code where the body raises; print the traceback if `--traceback` asks for it."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise  # typer's own ways to end
    except (Exception, KeyboardInterrupt) as error:
        if ctx.params.get("traceback"):
            traceback.print_exception(error)
        ending = KeyboardInterrupt() if was_interrupted() else error
        complain(_sentence(ending))
        raise typer.Exit(_exit_code(ending)) from error


def _sentence(error: BaseException) -> str:
    match error:
        case click.UsageError():
            return _usage_sentence(error)
        case GraphoptError():
            return str(error)
        case KeyboardInterrupt():
            return "interrupted"
        case ClickException():
            return error.format_message()
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return f"{what}; this is a bug in graphopt, `graphopt --traceback …` shows where"


def _usage_sentence(error: click.UsageError) -> str:
    """Say what is wrong with a command line, and which help tells how it is written."""
    said = error.message if type(error) is click.BadParameter and not error.param else error.format_message()
    said, _, guess = said.strip().removesuffix(".").partition(". Did you mean ")
    path = error.ctx.command_path if error.ctx else "graphopt"
    helps = "lists the commands" if isinstance(error, click.exceptions.NoSuchCommand) else "has examples"
    return f"{said[:1].lower()}{said[1:]}{f' (did you mean {guess})' if guess else ''}; `{path} --help` {helps}"


def _exit_code(error: BaseException) -> int:
    match error:
        case GraphoptError() | ClickException():
            return error.exit_code
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            return _BUG
