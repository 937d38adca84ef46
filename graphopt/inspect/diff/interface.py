"""Which input and output of one graph is which of the other, and what of their types changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from graphopt.inspect.diff.record import ChangedInterface
from graphopt.ir.text.literals import tensor_type, type_text

Values = Sequence[ir.Value | None]
Pairs = list[tuple[int, int]]
"""Indices before and after of what belongs together."""


def pairings(before: Values, after: Values) -> list[Pairs]:
    """Return the ways to pair inputs (or outputs): by position, and by name where that is another one."""
    by_position = [(index, index) for index in range(min(len(before), len(after)))]
    by_name = list(_by_name(before, after))
    ways = [by_name, by_position] if len(before) != len(after) else [by_position, by_name]
    return ways if ways[0] != ways[1] else ways[:1]


def _by_name(before: Values, after: Values) -> Iterator[tuple[int, int]]:
    """Yield those of equal names, then the others in their order."""
    places = {value.name: index for index, value in enumerate(after) if value is not None and value.name}
    named = {
        index: places[value.name] for index, value in enumerate(before) if value is not None and value.name in places
    }
    taken = set(named.values())
    rest = iter([index for index in range(len(after)) if index not in taken])
    for index in range(len(before)):
        twin = named.get(index)
        if twin is None:
            twin = next(rest, None)
        if twin is not None:
            yield index, twin


class Types:
    """Compares types; names of dimensions are equal where the same one stands for the same one everywhere."""

    def __init__(self) -> None:
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def differ(self, one: ir.Value, other: ir.Value) -> bool:
        """Whether dtype or shape changed."""
        if one.type != other.type or (one.shape is None) != (other.shape is None):
            return True
        if one.shape is None or other.shape is None:
            return False
        if len(one.shape) != len(other.shape):
            return True
        return not all(self._same(*dims) for dims in zip(one.shape, other.shape, strict=True))

    def _same(self, one: int | ir.SymbolicDim, other: int | ir.SymbolicDim) -> bool:
        if isinstance(one, int) or isinstance(other, int):
            return one == other
        if one.value is None or other.value is None:
            return True  # a name that says nothing of another dimension is as good as none
        there = self._there.setdefault(one.value, other.value)
        return there == other.value and self._back.setdefault(other.value, one.value) == one.value


def compare_interface(
    kind: str,
    where: str,
    before: Values,
    after: Values,
    pairs: Pairs,
    types: Types,
) -> Iterator[ChangedInterface]:
    """Yield what was removed, added, or changed its type."""
    twins, used = dict(pairs), {other for _, other in pairs}
    for index, value in enumerate(before):
        twin = after[twins[index]] if index in twins else None
        if index not in twins:
            yield ChangedInterface(kind, where, describe(value), None)
        elif value is not None and twin is not None and types.differ(value, twin):
            yield ChangedInterface(kind, where, describe(value), describe(twin))
    for index, value in enumerate(after):
        if index not in used:
            yield ChangedInterface(kind, where, None, describe(value))


def interface_notes(kind: str, before: Values, after: Values, pairs: Pairs) -> Iterator[str]:
    """Yield which have other names, and whether they stand in another order."""
    for index, other in pairs:
        one, two = before[index], after[other]
        if one is not None and two is not None and one.name != two.name:
            yield f"{kind} {one.name!r} is named {two.name!r}"
    order = [other for _, other in pairs]
    if order != sorted(order):
        yield f"{kind}s stand in another order"


def describe(value: ir.Value | None) -> str:
    """Write a value with dtype and shape: `x: float[N,3,224,224]`."""
    if value is None:
        return "nothing"
    if value.type is None:
        return f"{value.name}: ?"
    return f"{value.name}: {type_text(value.type, value.shape)}"


def describe_constant(value: ir.Value, tensor: ir.TensorProtocol) -> str:
    """Write a constant with dtype and shape."""
    return f"constant {value.name!r} {tensor_type(tensor.dtype, ir.Shape(tensor.shape.numpy()))}"
