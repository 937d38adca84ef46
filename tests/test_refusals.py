"""Law 13 of passes/README.md: for each sentence that a pass refuses with, a case shows it in a `missed` block."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import passes
from tests.cases import read_cases
from tests.test_convert_float import NOT_MEASURED

SOURCES = Path(passes.__file__).parent
# Cases are executed, so that none shows a model that does not run.
SHOWN = {NOT_MEASURED} | {line for case in read_cases(Path(__file__).parent / "passes") for line in case.missed}
GIVEN_TO = ("missed", "Refused")
RETURNED_AS = ("str | None", "Iterator[str]")


def sentences() -> Iterator[tuple[str, str]]:
    """Yield the place of each sentence, and a pattern of its beginning: the first two pieces that are spelled out.

    What is filled in further back may be of the machine, or random, so that no case can show it.
    """
    for file in sorted(SOURCES.rglob("*.py")):
        for node in said(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{file.relative_to(SOURCES)}:{node.lineno}", pattern(node)


def said(module: ast.Module) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Yield the texts that a module returns as a reason, notes as one, raises `Refused` with or gives to `missed`."""
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef(returns=ast.expr() as kind) if ast.unparse(kind) in RETURNED_AS:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return | ast.Yield) and inner.value is not None:
                        yield from texts(inner.value)
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="refusals"))], value=value):
                yield from texts(value)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in GIVEN_TO:
                for argument in node.args:
                    yield from texts(argument)


def texts(node: ast.expr) -> Iterator[ast.Constant | ast.JoinedStr]:
    match node:
        case ast.IfExp(body=body, orelse=otherwise):
            yield from (*texts(body), *texts(otherwise))
        case ast.BoolOp(values=values):
            yield from (text for value in values for text in texts(value))
        case ast.Constant(value=str() as text) if text:
            yield node
        case ast.JoinedStr():
            yield node


def pattern(text: ast.Constant | ast.JoinedStr) -> str:
    pieces = text.values if isinstance(text, ast.JoinedStr) else [text]
    known = [str(piece.value).strip() for piece in pieces if isinstance(piece, ast.Constant)]
    return ".+".join(map(re.escape, known[:2]))


@pytest.mark.parametrize("sentence", [pytest.param(text, id=place) for place, text in sentences()])
def test_a_case_shows_every_refusal(sentence: str) -> None:
    assert any(re.search(sentence, line) for line in SHOWN), f"no case has a missed block with {sentence!r}"
