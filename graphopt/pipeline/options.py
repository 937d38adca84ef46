"""The options of a pass, or of what else is a dataclass: typed fields on one side, text on the other.

A field `max_bytes: int = 1024` is written `max-bytes=1024`. Types: bool (true, false), int, float, Fraction
(`1/255`), str, a Literal of strings, and tuples of one of these (`axes=0,1`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from graphopt.errors import PipelineError
from graphopt.nearest import did_you_mean
from graphopt.spec import Spec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from graphopt.pipeline.base import Pass

_Record = TypeVar("_Record", bound="DataclassInstance")
_BOOLS = {"true": True, "false": False}


class OptionError(ValueError):
    """Options that a dataclass does not take."""


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
    try:
        return build(pass_type, Spec(pass_type.name, options), "pass")
    except OptionError as error:
        raise PipelineError(str(error)) from None


def build(record: type[_Record], spec: Spec, noun: str) -> _Record:
    """Make a dataclass from the text of its options; raises OptionError naming the option and what it takes.

    `noun` is what a person calls it: a pass, say.
    """
    name, hints = spec.name, get_type_hints(record)
    fields = {_option_name(field): field for field in dataclasses.fields(record)}
    arguments: dict[str, Any] = {}
    for key, text in spec.options.items():
        if key not in fields:
            raise OptionError(f"{noun} {name!r} has no option {key!r}{_suggest(key, fields)}")
        kind = hints[fields[key].name]
        try:
            arguments[fields[key].name] = _parse(text, kind)
        except (ValueError, ZeroDivisionError):
            raise OptionError(f"option {key}={text} of {noun} {name!r} must be {_type_text(kind)}") from None
    missing = [name for name, field in fields.items() if _required(field) and field.name not in arguments]
    if missing:
        raise OptionError(f"{noun} {name!r} needs option {missing[0]!r}: {name}{{{missing[0]}=…}}")
    return record(**arguments)


def format_options(instance: DataclassInstance) -> dict[str, str]:
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
    return f"{did_you_mean(key, fields)}; it has {', '.join(fields)}"
