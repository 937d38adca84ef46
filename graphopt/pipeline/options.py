"""The options of a pass: typed dataclass fields on one side, text on the other.

A field `max_bytes: int = 1024` is written `max-bytes=1024`. Types: bool (true, false), int, float, str, a
Literal of strings, and tuples of one of these (`axes=0,1`).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from graphopt.errors import PipelineError

if TYPE_CHECKING:
    from graphopt.pipeline.base import Pass

_BOOLS = {"true": True, "false": False}


class Option(NamedTuple):
    """One option of a pass, for listings: its name, its type and its default, as text."""

    name: str
    type: str
    default: str | None


def options_of(pass_type: type[Pass]) -> list[Option]:
    """Return the options of a pass in the order of its fields."""
    hints = get_type_hints(pass_type)
    return [
        Option(_option_name(field), _type_text(hints[field.name]), _default_text(field))
        for field in dataclasses.fields(pass_type)
    ]


def build_pass(pass_type: type[Pass], options: Mapping[str, str]) -> Pass:
    """Make a pass from the text of its options; raises PipelineError naming the option and what it takes."""
    hints = get_type_hints(pass_type)
    fields = {_option_name(field): field for field in dataclasses.fields(pass_type)}
    arguments: dict[str, Any] = {}
    for key, text in options.items():
        if key not in fields:
            raise PipelineError(f"pass {pass_type.name!r} has no option {key!r}{_suggest(key, fields)}")
        kind = hints[fields[key].name]
        try:
            arguments[fields[key].name] = _parse(text, kind)
        except ValueError:
            raise PipelineError(f"option {key}={text} of pass {pass_type.name!r} must be {_type_text(kind)}") from None
    missing = [name for name, field in fields.items() if _required(field) and field.name not in arguments]
    if missing:
        raise PipelineError(f"pass {pass_type.name!r} needs option {missing[0]!r}: {pass_type.name}{{{missing[0]}=…}}")
    return pass_type(**arguments)


def format_options(instance: Pass) -> dict[str, str]:
    """Return the options that differ from their defaults, as text."""
    return {
        _option_name(field): _format(getattr(instance, field.name))
        for field in dataclasses.fields(instance)
        if _required(field) or getattr(instance, field.name) != field.default
    }


def _option_name(field: dataclasses.Field[Any]) -> str:
    return field.name.replace("_", "-")


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _default_text(field: dataclasses.Field[Any]) -> str | None:
    return None if _required(field) else _format(field.default)


def _parse(text: str, kind: Any) -> Any:
    origin = get_origin(kind)
    if origin is tuple:
        element, *_ = get_args(kind)
        return tuple(_parse(part, element) for part in text.split(",") if part)
    if origin is Literal:
        if text not in get_args(kind):
            raise ValueError(text)
        return text
    if kind is bool:
        if text not in _BOOLS:
            raise ValueError(text)
        return _BOOLS[text]
    return kind(text)


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(_format(element) for element in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type_text(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is tuple:
        return f"{_type_text(get_args(kind)[0])},…"
    if origin is Literal:
        return "|".join(get_args(kind))
    return "true|false" if kind is bool else str(kind.__name__)


def _suggest(key: str, fields: Mapping[str, object]) -> str:
    if not fields:
        return "; it has none"
    close = difflib.get_close_matches(key, fields, n=1)
    return (f" (did you mean {close[0]!r}?)" if close else "") + f"; it has {', '.join(fields)}"
