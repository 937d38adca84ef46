"""The one text syntax of names with options: `name{key=value other=1,2}`.

Targets, passes and pipelines are written in it, and everything written in it is printed back the same.

    spec   := name [ '{' { key '=' value } '}' ]
    name   := letter { letter | digit | '-' | '_' | '.' }
    value  := text without spaces and braces | '"' any text '"'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NAME = re.compile(r"[A-Za-z][\w.\-]*")
_OPTION = re.compile(r'([A-Za-z][\w.\-]*)=("(?:[^"\\]|\\.)*"|[^\s{}"]*)')
_SPACE = re.compile(r"\s*")


class SpecError(ValueError):
    """Where a text leaves the syntax; `position` counts characters from 0."""

    def __init__(self, reason: str, text: str, position: int) -> None:
        super().__init__(f"{reason} at character {position + 1} of {text!r}")


@dataclass(frozen=True)
class Spec:
    """A name and its options as written, values still text."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return self.name + "{" + " ".join(f"{key}={_quote(value)}" for key, value in self.options.items()) + "}"


def parse_spec(text: str) -> Spec:
    """Parse a whole text as one spec; raises SpecError."""
    spec, end = scan_spec(text, skip_space(text, 0))
    end = skip_space(text, end)
    if end != len(text):
        raise SpecError(f"unexpected {text[end]!r}", text, end)
    return spec


def scan_spec(text: str, position: int) -> tuple[Spec, int]:
    """Parse the spec that starts at `position`; return it and where it ends. Raises SpecError."""
    name = NAME.match(text, position)
    if not name:
        found = repr(text[position]) if position < len(text) else "the end"
        raise SpecError(f"expected a name, found {found}", text, position)
    position = name.end()
    if not text.startswith("{", position):
        return Spec(name.group()), position
    options: dict[str, str] = {}
    position = skip_space(text, position + 1)
    while not text.startswith("}", position):
        option = _OPTION.match(text, position)
        if not option:
            reason = "expected 'option=value' or '}'" if position < len(text) else "missing '}'"
            raise SpecError(reason, text, position)
        key, value = option.groups()
        if key in options:
            raise SpecError(f"option {key!r} given twice", text, position)
        options[key] = _unquote(value)
        position = skip_space(text, option.end())
    return Spec(name.group(), options), position + 1


def skip_space(text: str, position: int) -> int:
    """Return the position of the first character at or after `position` that is no white space."""
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _quote(value: str) -> str:
    if value and not re.search(r'[\s{}"]', value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _unquote(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
