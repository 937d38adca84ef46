"""Which model-local function of one model is which of the other: by its name, or by its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import onnx_ir as ir

from graphopt.inspect.diff.fingerprints import Fingerprinter
from graphopt.inspect.diff.numbers import Contents, Numbers

Identifier = ir.OperatorIdentifier


class Functions(NamedTuple):
    """Functions of two models.

    Attributes:
        pairs: identifiers before and after of those that belong together.
        removed, added: the others.

    """

    pairs: tuple[tuple[Identifier, Identifier], ...]
    removed: tuple[Identifier, ...]
    added: tuple[Identifier, ...]


def pair_functions(numbers: Numbers, before: ir.Model, after: ir.Model) -> Functions:
    """Pair the functions of two models."""
    pairs = {key: key for key in before.functions if key in after.functions}
    while new := _same_bodies(numbers, before, after, pairs):
        pairs |= new
    taken = set(pairs.values())
    return Functions(
        tuple(pairs.items()),
        tuple(key for key in before.functions if key not in pairs),
        tuple(key for key in after.functions if key not in taken),
    )


def contents_of(
    numbers: Numbers, before: ir.Model, after: ir.Model, pairs: Mapping[Identifier, Identifier]
) -> tuple[Contents, Contents]:
    """Return what numbers both models, so that calls of paired functions are equal."""
    return (
        Contents(numbers, imports_of(before), {key: key for key in pairs}),
        Contents(numbers, imports_of(after), {other: key for key, other in pairs.items()}),
    )


def imports_of(model: ir.Model) -> dict[str, int]:
    """Return the version of each domain, of those of functions too where the model does not say another."""
    imports: dict[str, int] = {}
    for function in model.functions.values():
        imports |= function.opset_imports
    return imports | model.opset_imports


def _same_bodies(
    numbers: Numbers, before: ir.Model, after: ir.Model, pairs: Mapping[Identifier, Identifier]
) -> dict[Identifier, Identifier]:
    """Pair functions of equal bodies that are not paired yet; those that they call have to be."""
    contents = contents_of(numbers, before, after, pairs)
    taken = set(pairs.values())
    writers = [Fingerprinter(numbers, one) for one in contents]
    bodies = {writers[1].body(found.graph): key for key, found in after.functions.items() if key not in taken}
    new: dict[Identifier, Identifier] = {}
    for key, function in before.functions.items():
        if key not in pairs and (twin := bodies.pop(writers[0].body(function.graph), None)) is not None:
            new[key] = twin
    return new
