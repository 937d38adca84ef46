"""The help of a command: what it does, how it is called, examples, then its options by what they are about."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator

import click

from graphopt.cli.console import wants_colour

_WIDEST, _NARROWEST = 100, 50
_FIRST_COLUMN = 28
_EXAMPLES = "Examples:"
_INDENT = 2
_OPTION = re.compile(r"(?<=\S) (?=--?[a-z])")

_REST = "What to do"
SECTIONS: dict[str, tuple[str, ...]] = {
    "Input": tuple("data calibration input labels preprocess limit input-shape batch seeds trusted-key".split()),
    "Output": tuple(
        "output plan plot report html checkpoint resume storage external-data external-threshold signing-key".split()
    ),
    _REST: (),
    "How": tuple(
        "target pipeline preset precision threads workers repeats trials time tracker key require-quiet seed no-cache "
        "host port max-batch max-delay-ms queue max-body-mb timeout-ms grace-seconds".split()
    ),
    "Display": tuple(
        "explain layers all top json quiet traceback version install-completion show-completion help".split()
    ),
}
"""By heading, the options that belong under it, in order; what stands nowhere is what a command does of its own."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Make programs and run them": ("compile", "run", "serve"),
    "Make models better": (
        *("optimize", "quantize", "prune", "factorize", "shorten", "sparsify", "share", "distill"),
        *("extract", "rename", "reshape"),
    ),
    "Look into models and programs": ("inspect", "view", "diff", "check", "doctor", "bisect", "why", "why-not"),
    "Measure": ("bench", "profile", "tune"),
    "Look around": ("passes", "cache"),
}
"""The commands by what a person wants, in the order of the help."""


def help_text(command: click.Command, ctx: click.Context) -> str:
    """Write the help of a command, or of all of them, as wide as the terminal."""
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    formatter = click.HelpFormatter(width=width, max_width=width)
    ctx.color = wants_colour(sys.stdout)
    bold = _bold if ctx.color else str
    summary, examples, rest = _documentation(command.help or "")
    formatter.write_text(summary)
    formatter.write_paragraph()
    formatter.write(f"{bold('Usage:')} {_usage(command, ctx)}\n")
    if examples:
        formatter.write(
            f"\n{bold(_EXAMPLES)}\n" + "".join(f"{part}\n" for line in examples for part in _broken(line, width))
        )
    for paragraph in rest:
        formatter.write_paragraph()
        formatter.write_text(paragraph)
    for heading, rows in _rows(command, ctx):
        formatter.write_paragraph()
        formatter.write_heading(bold(heading))
        with formatter.indentation():
            formatter.write_dl(rows, col_max=_FIRST_COLUMN)
    if isinstance(command, click.Group):
        formatter.write(f"\n`{ctx.command_path} COMMAND --help` has the options of a command, and examples.\n")
    return formatter.getvalue().rstrip("\n")


def sections(params: Iterable[click.Parameter]) -> dict[str, list[click.Option]]:
    """Sort options under their headings: required ones first, then as the table has them."""
    found: dict[str, list[click.Option]] = {heading: [] for heading in SECTIONS}
    for param in params:
        if isinstance(param, click.Option) and not param.hidden:
            found[_heading(param)].append(param)
    return {
        heading: sorted(options, key=lambda option: (not option.required, _rank(heading, option)))
        for heading, options in found.items()
        if options
    }


def option_name(param: click.Parameter) -> str:
    """Return the long name of an option, without dashes."""
    return max(param.opts, key=len).lstrip("-")


def examples(command: click.Command) -> list[str]:
    """Return the command lines that the help of a command shows, unbroken."""
    return _documentation(command.help or "")[1]


def _heading(option: click.Option) -> str:
    name = option_name(option)
    return next((heading for heading, names in SECTIONS.items() if name in names), _REST)


def _rank(heading: str, option: click.Option) -> int:
    name = option_name(option)
    return SECTIONS[heading].index(name) if name in SECTIONS[heading] else 0


def _rows(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    params = command.get_params(ctx)
    if arguments := [param for param in params if isinstance(param, click.Argument)]:
        yield "Arguments", [_row(param, ctx) for param in arguments]
    if isinstance(command, click.Group):
        yield from _commands(command, ctx)
    for heading, options in sections(params).items():
        yield heading, [_row(option, ctx) for option in options]


def _row(param: click.Parameter, ctx: click.Context) -> tuple[str, str]:
    """Name a parameter and say what it is; what is required says so in the usage."""
    name, text = param.get_help_record(ctx) or ("", "")
    for noise in ("  [required]", "; required]"):
        text = text.removesuffix(noise) + ("]" if noise.startswith(";") and text.endswith(noise) else "")
    return name, text


def _commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    names = group.list_commands(ctx)
    grouped = {name for several in GROUPS.values() for name in several}
    others = tuple(name for name in names if name not in grouped)
    for heading, several in {**GROUPS, "More": others}.items():
        rows = [
            (name, _documentation(command.help or "")[0])
            for name in several
            if name in names and (command := group.get_command(ctx, name)) is not None
        ]
        if rows:
            yield heading, rows


def _usage(command: click.Command, ctx: click.Context) -> str:
    """Write a call with what it must have."""
    if isinstance(command, click.Group):
        return f"{ctx.command_path} COMMAND [OPTIONS]"
    params = command.get_params(ctx)
    arguments = [param.make_metavar(ctx) for param in params if isinstance(param, click.Argument)]
    required = [
        f"{param.opts[0]} {param.make_metavar(ctx)}"
        for options in sections(params).values()
        for param in options
        if param.required
    ]
    return " ".join([ctx.command_path, *arguments, *required, "[OPTIONS]"])


def _documentation(text: str) -> tuple[str, list[str], list[str]]:
    """Split a documentation into its first line, the lines of its examples, and its other paragraphs."""
    before, _, after = text.partition(_EXAMPLES)
    summary, *rest = (" ".join(paragraph.split()) for paragraph in before.strip().split("\n\n"))
    lines = [line.strip() for line in after.strip().splitlines()]
    return summary, lines, [paragraph for paragraph in rest if paragraph]


def _broken(line: str, width: int) -> Iterator[str]:
    """Break a long command line as a shell takes it, before an option."""
    line = f"{'':{_INDENT}}{line}"
    while len(line) > width and (places := [place.start() for place in _OPTION.finditer(line, 0, width - 2)]):
        yield f"{line[: places[-1]]} \\"
        line = f"{'':{2 * _INDENT}}{line[places[-1] :].lstrip()}"
    yield line


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"
