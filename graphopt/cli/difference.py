"""The differences between two models in lines of text, a sign before each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphopt.inspect.diff.record import (
        ChangedAttribute,
        ChangedConstant,
        ChangedInterface,
        ChangedNode,
        ChangedOpset,
        Diff,
        Reweighted,
        Rewired,
    )

SIGNS = {"-": "red", "+": "green", "~": "yellow", "*": "cyan"}
"""Removed, added, rewired or changed, re-weighted; and their colours."""

_KINDS = {
    "removed": "removed",
    "added": "added",
    "rewired": "rewired",
    "reweighted": "re-weighted",
    "attributes": "attributes changed",
    "interface": "inputs or outputs changed",
    "opsets": "opsets changed",
    "removed_constants": "unread constants removed",
    "added_constants": "unread constants added",
    "removed_functions": "functions removed",
    "added_functions": "functions added",
}


def differences(found: Diff) -> Iterator[tuple[str, str]]:
    """Yield the sign and the text of each difference."""
    yield from (("~", _opset(one)) for one in found.opsets)
    yield from map(_interface, found.interface)
    yield from (("-", f"function {name}") for name in found.removed_functions)
    yield from (("+", f"function {name}") for name in found.added_functions)
    yield from (("-", _node(one)) for one in found.removed)
    yield from (("+", _node(one)) for one in found.added)
    yield from (("~", _rewired(one)) for one in found.rewired)
    yield from (("~", _attribute(one)) for one in found.attributes)
    yield from (("*", _reweighted(one)) for one in found.reweighted)
    yield from (("-", _constant(one)) for one in found.removed_constants)
    yield from (("+", _constant(one)) for one in found.added_constants)


def summary(found: Diff) -> str:
    """Say how many differences there are of each kind."""
    counts = [f"{count} {_KINDS[kind]}" for kind, count in found.counts().items() if count]
    return ", ".join(counts) or "no differences"


def _node(one: ChangedNode) -> str:
    reads = f", reads {', '.join(one.reads or one.constants)}" if one.reads or one.constants else ""
    readers = f", read by {', '.join(one.read_by)}" if one.read_by else ", read by nobody"
    return f"{_in(one.where)}{one.node}{reads}{readers}{_by(one.made_by)}"


def _rewired(one: Rewired) -> str:
    slot = "" if one.input is None else f" input {one.input}"
    before, after = one.before or "nothing", one.after or "nothing"
    return f"{_in(one.where)}{one.node}{slot}: {before} → {after}{_by(one.made_by)}"


def _attribute(one: ChangedAttribute) -> str:
    before, after = (("by default" if text is None else text) for text in (one.before, one.after))
    return f"{_in(one.where)}{one.node} {one.attribute}: {before} → {after}{_by(one.made_by)}"


def _reweighted(one: Reweighted) -> str:
    forms = [f"{one.dtype}{list(one.shape)}", f"{one.after_dtype}{list(one.after_shape)}"]
    form = forms[0] if forms[0] == forms[1] else " → ".join(forms)
    name = one.constant if one.constant == one.after_constant else f"{one.constant} → {one.after_constant}"
    parts = ["dequantized," if one.quantized else ""]
    if one.changed is not None:
        parts.append(f"{one.changed} of {one.elements} elements differ" if one.changed else "equal numbers")
    if one.changed and one.largest is not None:
        relative = "" if one.relative is None else f", relative norm {one.relative:.3g}"
        parts.append(f"by at most {one.largest:.3g}{relative}")
    readers = f", read by {', '.join(one.readers)}"
    return f"{_in(one.where)}{name} {form}: {' '.join(filter(None, parts)) or 'other shape'}{readers}{_by(one.made_by)}"


def _interface(one: ChangedInterface) -> tuple[str, str]:
    where = _in(one.where)
    if one.before is None:
        return "+", f"{where}{one.kind} {one.after}"
    if one.after is None:
        return "-", f"{where}{one.kind} {one.before}"
    return "~", f"{where}{one.kind} {one.before} → {one.after}"


def _opset(one: ChangedOpset) -> str:
    before, after = (("not imported" if version is None else version) for version in (one.before, one.after))
    return f"{_in(one.where)}opset of {one.domain}: {before} → {after}"


def _constant(one: ChangedConstant) -> str:
    return f"{_in(one.where)}constant {one.constant!r} {one.dtype}{list(one.shape)}, read by nobody"


def _in(where: str) -> str:
    return f"[{where}] " if where else ""


def _by(rewrites: tuple[str, ...]) -> str:
    return f" (by {', '.join(rewrites)})" if rewrites else ""
