"""Writes graphopt/docs/reference from what the code says of itself: python -m tests.documents.reference."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator

import click
import typer

import graphopt
from graphopt.catalog import passes
from graphopt.cli.main import build_app
from graphopt.pipeline.options import options_of
from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS
from tests.documents.markdown import CHECKOUT

FOLDER = CHECKOUT / "graphopt" / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from what the code says of itself: change it there. -->"


def main() -> None:
    """Write all pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the pages by their names."""
    made = {"commands.md": _commands(), "passes.md": _passes(), "python.md": _python()}
    return {name: "\n\n".join((NOTE, *parts)).rstrip() + "\n" for name, parts in made.items()}


def _commands() -> Iterator[str]:
    group = typer.main.get_command(build_app())
    assert isinstance(group, click.Group)
    yield "# Commands"
    yield "`graphopt --help`, and `graphopt COMMAND --help`, say the same."
    for name, command in group.commands.items():
        text, _, examples = inspect.cleandoc(command.help or "").partition("Examples:\n")
        yield f"## graphopt {name}"
        yield _escaped(text.strip())
        yield (
            "<!-- run: skip examples, with files that you have -->\n```sh\n"
            + textwrap.dedent(examples).strip()
            + "\n```"
        )
        context = click.Context(command, info_name=name)
        shown = (one for one in command.get_params(context) if not (isinstance(one, click.Option) and one.hidden))
        yield _table(("", "", ""), (_parameter(one, context) for one in shown))


def _parameter(parameter: click.Parameter, context: click.Context) -> tuple[str, str, str]:
    help_text = getattr(parameter, "help", None) or ""
    kind = parameter.make_metavar(context).strip("[]") if not getattr(parameter, "is_flag", False) else ""
    if isinstance(parameter, click.Argument):
        return f"`{kind}`", "", help_text or ("required" if parameter.required else "")
    names = ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    said = getattr(parameter, "show_default", False) and default is not None and not callable(default) and kind
    notes = [help_text, "Required." if parameter.required else "", f"Default: `{default}`." if said else ""]
    return names, f"`{kind}`" if kind else "", " ".join(filter(None, notes))


def _passes() -> Iterator[str]:
    yield "# Passes"
    yield "`graphopt passes` says the same. A pass with options is written `name{option=value}`."
    yield "## Presets"
    presets = (
        (f"`{name}`{' (default)' if name == DEFAULT_PRESET else ''}", f"`{text}`") for name, text in PRESETS.items()
    )
    yield _table(("preset", "pipeline"), presets)
    for name, kind in passes().items():
        yield f"## {name}"
        yield from _prose(inspect.getdoc(kind) or "")
        if kind.requires:
            yield f"It stands after {', '.join(f'`{one}`' for one in kind.requires)}."
        options = options_of(kind)
        if options:
            rows = (
                (
                    f"`{one.name}`",
                    f"`{one.type}`",
                    "required" if one.default is None else f"`{one.default}`" if one.default else "",
                )
                for one in options
            )
            yield _table(("option", "type", "default"), rows)
        if (CHECKOUT / "tests" / "passes" / f"{name}.md").exists():
            yield f"[Its cases](../../../tests/passes/{name}.md), before and after."


def _python() -> Iterator[str]:
    yield "# Python"
    yield "What `import graphopt` offers. Everything else may change."
    offered = {name: getattr(graphopt, name) for name in graphopt.__all__}
    errors = {name for name, kind in offered.items() if isinstance(kind, type) and issubclass(kind, Exception)}
    for name in sorted(set(offered) - errors, key=str.lower):
        yield from _documented(f"graphopt.{name}", offered[name], "##")
        if isinstance(offered[name], type):
            for method in (one for one in vars(offered[name]) if not one.startswith("_")):
                yield from _member(name, method, inspect.getattr_static(offered[name], method))
    yield "## Errors"
    yield "All are `graphopt.GraphoptError`, and are ordered by who can mend what they say."
    yield _table(("", ""), ((f"`{name}`", _first(offered[name])) for name in sorted(errors)))


def _member(owner: str, name: str, member: object) -> Iterator[str]:
    if isinstance(member, property) and member.fget:
        yield f"### {owner}.{name}"
        yield from _prose(inspect.getdoc(member) or "")
    elif callable(member):
        yield from _documented(f"{owner}.{name}", member, "###")


def _documented(name: str, thing: Callable[..., object], level: str) -> Iterator[str]:
    yield f"{level} {name}"
    signature = inspect.signature(thing)
    parameters = list(_spelled(one for one in signature.parameters.values() if one.name != "self"))
    returned = "" if signature.return_annotation is inspect.Signature.empty else f" -> {signature.return_annotation}"
    text = f"{name}({', '.join(parameters)}){returned}"
    if len(text) > 100:
        text = "\n".join((f"{name}(", *(f"    {one}," for one in parameters), f"){returned}"))
    yield f"<!-- run: skip a signature -->\n```text\n{text}\n```"
    yield from _prose(inspect.getdoc(thing) or "")


def _spelled(parameters: Iterable[inspect.Parameter]) -> Iterator[str]:
    keyword_only = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            yield "*"
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        kind = "" if one.annotation is one.empty else f": {one.annotation}"
        default = "…" if callable(one.default) else repr(one.default)
        yield f"{stars}{one.name}{kind}" + (
            "" if one.default is one.empty else f" = {default}" if kind else f"={default}"
        )


def _first(thing: object) -> str:
    return _escaped((inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " "))


def _prose(docstring: str) -> Iterator[str]:
    """Return the paragraphs of a docstring; sections such as `Args:` become lists, what is indented code."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        head, _, body = paragraph.partition("\n")
        if re.fullmatch(r"[A-Z]\w+:", head) and body:
            yield f"**{head.removesuffix(':')}**\n\n" + "\n".join(_items(textwrap.dedent(body)))
        elif paragraph.startswith("    "):
            yield "<!-- run: skip an example -->\n```text\n" + textwrap.dedent(paragraph) + "\n```"
        else:
            yield _escaped(paragraph)


def _items(body: str) -> Iterator[str]:
    for line in body.splitlines():
        name, colon, text = line.partition(": ")
        if line.startswith(" "):
            yield f"  {_escaped(line.strip())}"
        elif colon:
            yield f"- `{name}`: {_escaped(text)}"
        else:
            yield _escaped(line)


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in line)} |" for line in lines
    )


def _escaped(text: str) -> str:
    """Return a text in which Markdown sees no HTML and no emphasis outside of code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


if __name__ == "__main__":
    main()
