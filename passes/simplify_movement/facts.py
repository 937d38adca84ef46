"""What can be read off a node and its values: attributes that became inputs, permutations, sizes known in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op

Dim = int | ir.SymbolicDim
Permutation = tuple[int, ...]

TO_THE_END = 2**31 - 1
"""What exporters write, or more, for the end of any axis."""


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Return the node that makes a value, if it is one of these operators and no caller gives its attributes."""
    node = None if value is None else value.producer()
    return node if node is not None and is_op(node, *op_types) and not has_references(node) else None


def reads(*op_types: str) -> Callable[[ir.Node], bool]:
    """Return whether the first input of a node is made by one of these operators."""
    return lambda node: producer(node.inputs[0], *op_types) is not None


def maker(value: ir.Value) -> tuple[ir.Node, ir.Value]:
    """Return the node that makes a value, which `reads` has seen, and what that reads first.

    Raises:
        ValueError: nothing makes the value.

    """
    node = value.producer()
    source = None if node is None else node.inputs[0]
    if node is None or source is None:
        raise ValueError(f"no node makes {value.name!r}")
    return node, source


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input, or None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def integers(node: ir.Node, name: str, index: int) -> tuple[int, ...] | None:
    """Return an attribute of old opsets, or the constant input that took its place; None if absent or unknown."""
    if name in node.attributes:
        return tuple(node.attributes[name].as_ints())
    array = constant(input_of(node, index))
    return None if array is None else tuple(int(number) for number in array.ravel())


def has_setting(node: ir.Node, name: str, index: int) -> bool:
    """Whether a node has such an attribute or such an input."""
    return name in node.attributes or input_of(node, index) is not None


def rank(value: ir.Value | None) -> int | None:
    """Return the number of dimensions, if it is known."""
    return None if value is None or value.shape is None else len(value.shape)


def dims(value: ir.Value | None) -> tuple[Dim, ...] | None:
    """Return the dimensions, if the rank is known."""
    return None if value is None or value.shape is None else tuple(value.shape)


def size(value: ir.Value | None, axis: int) -> int | None:
    """Return the size along an axis, if it is known."""
    known = dims(value)
    if known is None or not -len(known) <= axis < len(known):
        return None
    dim = known[axis]
    return dim if isinstance(dim, int) else None


def normalized(axis: int, ndim: int | None) -> int | None:
    """Return an axis counted from the front, if that can be told."""
    if axis >= 0:
        return axis
    return None if ndim is None else axis + ndim


def axis_of(node: ir.Node, default: int = 0) -> int | None:
    """Return the axis of a node counted from the front, if that can be told."""
    return normalized(node.attributes.get_int("axis", default), rank(node.inputs[0]))


def permutation(node: ir.Node, ndim: int | None = None) -> Permutation | None:
    """Return the permutation of a Transpose, if it is given or the rank is known (Transpose-1: reversed)."""
    given = node.attributes.get("perm")
    if given is not None:
        return tuple(given.as_ints())
    ndim = rank(node.inputs[0]) if ndim is None else ndim
    return None if ndim is None else tuple(reversed(range(ndim)))


def inverse(perm: Sequence[int]) -> Permutation:
    """Return the permutation that undoes another."""
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


def is_identity(perm: Sequence[int]) -> bool:
    """Whether a permutation moves nothing."""
    return list(perm) == list(range(len(perm)))
