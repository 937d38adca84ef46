"""New names for values and nodes, one by one or by a rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.load import Source, load
from graphopt.ir.verify import verify
from graphopt.ir.walk import scopes
from graphopt.nearest import question_of

# C23, with the older spellings; a generator of C code would stumble over them.
C_KEYWORDS = frozenset(
    """alignas alignof auto bool break case char const constexpr continue default do double else enum extern false
    float for goto if inline int long nullptr register restrict return short signed sizeof static static_assert struct
    switch thread_local true typedef typeof typeof_unqual union unsigned void volatile while""".split()
)
Named = ir.Value | ir.Node


def rename(
    model: Source, names: Mapping[str, str] | None = None, *, prefix: str = "", sanitize: bool = False
) -> ir.Model:
    """Return a model with other names; what is given stays untouched, and so do its answers.

    `names` gives new names by old ones, for values and nodes of every scope: where a value and a node share a
    name, both get the new one. Every other name gets `prefix`, and with `sanitize` becomes a C identifier:
    `layer1/conv:0` is `layer1_conv_0`, and `layer1_conv_0_1` if that is taken.

    Raises:
        ModelError: the model is broken; an old name is unknown; a new one is empty, given twice or taken.

    """
    renamed = load(model, overridable_initializers=True)
    wanted = dict(names or {})
    values, nodes = _named(renamed)
    _check(wanted, values, nodes)
    for owners in (values, nodes):
        _assign(_new_names(owners, wanted, prefix, sanitize=sanitize))
    verify(renamed)
    return renamed


def _named(model: ir.Model) -> tuple[list[Named], list[Named]]:
    values: dict[Named, None] = {}
    nodes: list[Named] = []
    for scope in scopes(model):
        values |= dict.fromkeys(scope.inputs)
        if isinstance(scope, ir.Graph):
            values |= dict.fromkeys(scope.initializers.values())
        for node in scope:
            values |= dict.fromkeys(node.outputs)
            nodes.append(node)
    return [value for value in values if value.name], [node for node in nodes if node.name]


def _check(wanted: Mapping[str, str], values: Iterable[Named], nodes: Iterable[Named]) -> None:
    of_values, of_nodes = {str(value.name) for value in values}, {str(node.name) for node in nodes}
    for old, new in wanted.items():
        if old not in of_values and old not in of_nodes:
            hint = question_of(old, of_values | of_nodes) or "`graphopt inspect --text` shows its names"
            raise ModelError(f"the model has no value or node {old!r}; {hint}")
        if not new:
            raise ModelError(f"the new name of {old!r} is empty; give one")
        for taken in (of_values, of_nodes):
            if old in taken and new in taken and new not in wanted:
                raise ModelError(f"{old!r} cannot become {new!r}: that name is taken; choose another")
    repeated = [new for new in wanted.values() if list(wanted.values()).count(new) > 1]
    if repeated:
        raise ModelError(f"two names would become {repeated[0]!r}; choose different ones")


def _new_names(owners: Iterable[Named], wanted: Mapping[str, str], prefix: str, *, sanitize: bool) -> dict[Named, str]:
    """Return the names that change. Equal names, of different scopes, stay equal."""
    by_rule: dict[str, str] = {}
    old_names = dict.fromkeys(str(owner.name) for owner in owners)
    taken = {new for old, new in wanted.items() if old in old_names}
    for old in sorted(old_names, key=lambda name: _by_rule(name, prefix, sanitize=sanitize) != name):
        if old not in wanted:
            by_rule[old] = _free(_by_rule(old, prefix, sanitize=sanitize), taken)
            taken.add(by_rule[old])
    new_names = {**wanted, **by_rule}
    changed = {owner: new_names[str(owner.name)] for owner in owners}
    return {owner: new for owner, new in changed.items() if new != owner.name}


def _by_rule(name: str, prefix: str, *, sanitize: bool) -> str:
    full = prefix + name
    if not sanitize:
        return full
    text = re.sub(r"\W", "_", full, flags=re.ASCII)
    return f"_{text}" if text[0].isdigit() or text in C_KEYWORDS else text


def _free(name: str, taken: set[str]) -> str:
    found, count = name, 0
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    return found


def _assign(names: Mapping[Named, str]) -> None:
    """Rename in two steps, so that names may be exchanged: a graph holds its initializers by name."""
    for index, owner in enumerate(names):
        owner.name = f"graphopt.renaming.{index}"
    for owner, name in names.items():
        owner.name = name
