"""Whether the commands that a document shows exist, whether or not they are run: `graphopt`, modules, make."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import typer

from graphopt.cli.main import build_app
from tests.documents.markdown import CHECKOUT, Document

_SEPARATORS = {"&&", "||", "|", ";", "&", "(", ")", ">", ">>", "<", "2>"}
_OPTION = re.compile(r"--[a-z][\w-]*")


def complaints(document: Document) -> Iterator[str]:
    """Return what is wrong with the commands of a document."""
    for block in document.blocks:
        if block.language in {"sh", "console"}:
            for line in logical_lines(block.text):
                for words in simple_commands(line):
                    yield from (f"{document}:{block.line}: {found}: {line}" for found in _wrong(words))
    for line_number, span in document.spans:
        if re.match(r"(graphopt|make|python -m|torchrun) [a-z]", span):
            for words in simple_commands(span):
                yield from (f"{document}:{line_number}: {found}: {span}" for found in _wrong(words, whole=False))
        elif span.startswith("--"):
            unknown = set(_OPTION.findall(span)) - _known_options()
            yield from (f"{document}:{line_number}: no command has {option}" for option in unknown)


def logical_lines(text: str) -> Iterator[str]:
    """Return the lines of a block, each with what continues it, without prompts."""
    lines = (re.sub(r"^[$>] ", "", line) for line in text.splitlines())
    return iter(re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines())


def simple_commands(line: str) -> Iterator[list[str]]:
    """Return the words of each command in a line that this module knows something of."""
    if re.search(r"(^|\s)(graphopt|make|python3? -m|torchrun)\s", line) is None:
        return
    words: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    lexer.wordchars += "{}[],:@%+$"
    for word in (*lexer, ";"):
        if word in _SEPARATORS:
            if words:
                yield words
            words = []
        elif words or not re.fullmatch(r"\w+=.*", word):  # variables stand before a command
            words.append(word)


def _wrong(words: list[str], *, whole: bool = True) -> Iterator[str]:
    match words:
        case ["nice" | "time", *rest] if "graphopt" in rest:
            yield from _wrong(rest[rest.index("graphopt") :], whole=whole)
        case ["graphopt", *rest]:
            yield from _wrong_graphopt(rest, whole=whole)
        case ["python" | "python3", "-m", module, *rest]:
            yield from _wrong_module(module, rest, whole=whole)
        case ["torchrun", *rest] if "-m" in rest:
            module, *arguments = rest[rest.index("-m") + 1 :]
            yield from _wrong_module(module, arguments, whole=whole)
        case ["make", *targets]:
            makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
            own = (target for target in targets if re.fullmatch("[a-z]+", target))
            if targets[:1] != ["-C"]:
                yield from (f"no target {one}" for one in own if not re.search(rf"^{one}:", makefile, re.MULTILINE))


def _wrong_module(module: str, words: list[str], *, whole: bool) -> Iterator[str]:
    if module == "graphopt":
        yield from _wrong_graphopt(words, whole=whole)
    elif module.partition(".")[0] in {"models", "tests"}:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            yield f"no module {module}"
            return
        sources = sorted(Path(spec.origin).parent.glob("*.py")) if spec.submodule_search_locations else [spec.origin]
        text = "".join(Path(source).read_text(encoding="utf-8") for source in sources)
        yield from (
            f"{module} has no option {one}"
            for word in words
            for one in _OPTION.findall(word)
            if one not in text and one != "--help"
        )


def _wrong_graphopt(words: list[str], *, whole: bool) -> Iterator[str]:
    """Parse a command line as the tool would, without what depends on files; a part of one may lack arguments."""
    while words and words[0] in {"--traceback", "--version", "--help", "-h"}:
        words = words[1:]
    if not words:
        return
    name, *arguments = words
    command = _group().commands.get(name)
    if command is None:
        yield f"no command {name}"
        return
    if {"--help", "-h"} & set(arguments):
        return
    context = click.Context(command, info_name=name)
    try:
        values, _, _ = command.make_parser(context).parse_args(list(arguments))
        for parameter in command.get_params(context):
            given = values.get(parameter.name or "")
            if whole and parameter.required and (given is None or given == ()):
                yield f"{name} needs {parameter.human_readable_name}"
            if isinstance(parameter.type, click.Choice) and isinstance(given, str):
                parameter.type.convert(given, parameter, context)
    except click.UsageError as error:
        if whole or isinstance(error, click.NoSuchOption):
            yield error.format_message()


@functools.cache
def _group() -> click.Group:
    group = typer.main.get_command(build_app())
    assert isinstance(group, click.Group)
    return group


@functools.cache
def _known_options() -> set[str]:
    parameters = (one for command in _group().commands.values() for one in command.params)
    own = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    sources = (path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "tests" / "benchmarks").glob("*.py")))
    return own | {"--help", "--traceback", "--version"} | {one for text in sources for one in _OPTION.findall(text)}
