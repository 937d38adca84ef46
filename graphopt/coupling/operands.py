"""Operands that say where a node works: attributes in older opsets, constant inputs in newer ones."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.ir.constants import constant


def is_given(node: ir.Node, name: str, index: int) -> bool:
    """Whether a node has an operand, in either form."""
    return name in node.attributes or (len(node.inputs) > index and node.inputs[index] is not None)


def integers(node: ir.Node, name: str, index: int) -> list[int] | None:
    """Return an operand, None where it is left out or no constant."""
    if name in node.attributes:
        return [int(number) for number in np.ravel(node.attributes[name].value)]
    array = constant(node.inputs[index]) if len(node.inputs) > index else None
    return None if array is None else [int(number) for number in array.ravel()]


def write_integers(node: ir.Node, name: str, index: int, numbers: list[int], cut: Cut) -> None:
    """Give a node an operand in the form in which it has it."""
    if name in node.attributes:
        node.attributes[name] = ir.AttrInt64s(name, numbers)
        return
    old = constant(node.inputs[index])
    cut.give(node, index, np.array(numbers, np.int64 if old is None else old.dtype))
