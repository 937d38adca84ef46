"""The elements that shape arithmetic computes with: numbers, and symbols for what only a run will tell.

A symbol is an `ir.SymbolicDim`; its value None means that nothing is known. Tensors of elements are numpy
arrays of objects, so that numpy's own indexing and broadcasting are the semantics of Gather, Slice and Add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Element = int | ir.SymbolicDim
Elements = npt.NDArray[np.object_]

UNKNOWN = ir.SymbolicDim(None)


def array_of(elements: Iterable[Element]) -> Elements:
    """Return a vector of elements."""
    listed = list(elements)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def elementwise(function: Callable[..., Element]) -> Callable[..., Elements]:
    """Lift a function of elements to tensors, which broadcast."""
    lifted = np.frompyfunc(function, function.__code__.co_argcount, 1)

    def apply(*operands: Elements) -> Elements:
        result: Any = lifted(*operands)
        return np.asarray(result, dtype=object)

    return apply


def is_known(elements: Elements) -> bool:
    """Whether every element is a number."""
    return all(isinstance(element, int) for element in elements.flat)


def is_same(left: Element, right: Element) -> bool:
    """Whether two elements are equal in every run."""
    return left == right and (isinstance(left, int) or left.value is not None)


def add(left: Element, right: Element) -> Element:
    """Return left + right."""
    return _canonical(left + right)


def subtract(left: Element, right: Element) -> Element:
    """Return left - right."""
    return _canonical(left - right)


def multiply(left: Element, right: Element) -> Element:
    """Return left · right."""
    return 0 if 0 in (left, right) else _canonical(left * right)


def divide(left: Element, right: Element) -> Element:
    """Return left / right, rounded towards zero as integers are in ONNX (Div-14)."""
    if right == 1:
        return left
    if not (isinstance(left, int) and isinstance(right, int)):
        return UNKNOWN
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def modulo(left: Element, right: Element) -> Element:
    """Return the remainder with the sign of the divisor (Mod-13, fmod=0)."""
    return left % right if isinstance(left, int) and isinstance(right, int) else UNKNOWN


def minimum(left: Element, right: Element) -> Element:
    """Return the smaller one."""
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    return left if is_same(left, right) else UNKNOWN


def maximum(left: Element, right: Element) -> Element:
    """Return the larger one."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return left if is_same(left, right) else UNKNOWN


def equal(left: Element, right: Element) -> Element:
    """Return whether two elements are equal; no dimension is negative."""
    if is_same(left, right):
        return True
    if isinstance(left, int) and isinstance(right, int):
        return False
    return False if _is_negative(left, right) or _is_negative(right, left) else UNKNOWN


def select(condition: Element, left: Element, right: Element) -> Element:
    """Return left where the condition holds, else right."""
    if isinstance(condition, int):
        return left if condition else right
    return left if is_same(left, right) else UNKNOWN


def negate(element: Element) -> Element:
    """Return -element."""
    return _canonical(-element)


def invert(element: Element) -> Element:
    """Return the opposite truth."""
    return not element if isinstance(element, int) else UNKNOWN


def truth(element: Element) -> Element:
    """Return whether an element is not zero."""
    return bool(element) if isinstance(element, int) else UNKNOWN


def number(element: Element) -> Element:
    """Return a truth as 0 or 1, anything else as it is."""
    return int(element) if isinstance(element, bool) else element


def _is_negative(element: Element, dimension: Element) -> bool:
    named = isinstance(dimension, ir.SymbolicDim) and dimension.value is not None and dimension.value.isidentifier()
    return named and isinstance(element, int) and element < 0


def _canonical(element: Element) -> Element:
    """Return a symbolic number as a number."""
    if isinstance(element, int) or element.value is None:
        return element
    return int(element.value) if element.value.lstrip("-").isdigit() else element
