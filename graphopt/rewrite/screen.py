"""Telling cheaply, from a node and what computes its inputs, which rules cannot match there.

Matching binds names, tries orders and looks into constants; most nodes can be told from their operators alone.
Nodes with one outline share one answer, so that a graph of any size asks the patterns a few times only.
"""

from __future__ import annotations

from typing import TypeAlias

import onnx_ir as ir

from graphopt.rewrite.pattern import Const, Either, Op, Optional, Pattern, roots
from graphopt.rewrite.rule import Rule

Outline: TypeAlias = tuple[str, tuple["Outline | None", ...]]
"""An operator and the outlines of what computes its inputs: None where nothing does; () where nobody looked."""

_DEPTH = 2
_WIDTH = 3
"""Operators with more inputs than this count as unknown below."""


def outline(node: ir.Node, depth: int = _DEPTH) -> Outline:
    """Return the operators of a node and of its producers, a few levels up."""
    inputs = node.inputs
    if depth == 0 or len(inputs) > _WIDTH:
        return (node.op_type, ())
    producers = [None if value is None else value.producer() for value in inputs]
    return (node.op_type, tuple(None if node is None else outline(node, depth - 1) for node in producers))


def may_match(rule: Rule, found: Outline) -> bool:
    """Return whether a rule can match at a node of that outline, whatever its values and attributes are."""
    return any(_may_fit(start, found) for start in roots(rule.pattern))


def _may_fit(pattern: Pattern, found: Outline | None) -> bool:
    match pattern:
        case Op(op_types=op_types):
            if found is None or found[0] not in op_types:
                return False
            orders = pattern.orders(found[0])
            return any(all(map(_may_fit, order, found[1])) for order in orders)
        case Either(alternatives):
            return any(_may_fit(alternative, found) for alternative in alternatives)
        case Const(expected=False):
            return found is None or found[0] == "Constant"
        case Optional(present):
            return found is None or _may_fit(present, found)
        case _:
            return True
