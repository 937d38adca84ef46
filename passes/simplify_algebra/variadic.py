"""Sum, Max and Min of any number of operands.

Max and Min flatten wherever they are nested, which is exact. A Sum is added from left to right, so it
flattens where it is the first operand of another, and keeps that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant, constant_tensor
from graphopt.rewrite import Builder, Match, Rule, either, op, rest, var
from graphopt.rewrite.pattern import Either, Op
from graphopt.tensors import Array

_MERGE: dict[str, Callable[[Array, Array], Array]] = {"Max": np.maximum, "Min": np.minimum}


def _nested(op_type: str) -> tuple[Op, ...]:
    inner = op(op_type)(rest("inner"))
    return (
        op(op_type)(inner, rest("after")),
        op(op_type)(var("before"), inner, rest("after")),
    )


class NestedExtremum(Rule):
    """max(max(x, y), z) = max(x, y, z), with each operand once and constants merged; min likewise."""

    pattern: ClassVar[Either] = either(*_nested("Max"), *_nested("Min"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Take the extremum of all at once."""
        before = match.get("before")
        operands = (*((before,) if before else ()), *match.rest("inner"), *match.rest("after"))
        merged = _merge(match.root.op_type, list(dict.fromkeys(operands)), build)
        return merged[0] if len(merged) == 1 else build.op(match.root.op_type, *merged)


class NestedSum(Rule):
    """sum(sum(x, y), z) = sum(x, y, z)."""

    pattern: ClassVar[Op] = op.Sum(op.Sum(rest("inner")), rest("after"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add all at once."""
        return build.op("Sum", *match.rest("inner"), *match.rest("after"))


class SumOfTwo(Rule):
    """sum(x, y) = x + y."""

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = op.Sum(var("x"), var("y"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Make it an addition."""
        return build.op("Add", match["x"], match["y"])


def _merge(op_type: str, operands: Sequence[ir.Value], build: Builder) -> Sequence[ir.Value]:
    """Put one constant in the place of several, unless it would be larger than all of them."""
    constants = [value for value in operands if constant_tensor(value) is not None]
    arrays = [array for value in constants if (array := constant(value)) is not None]
    if len(arrays) < 2 or len(arrays) == len(operands):
        return operands
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    if np.prod(shape) > max(array.size for array in arrays):
        return operands
    merged = build.constant(op_type.lower(), np.asarray(reduce(_MERGE[op_type], arrays)))
    return [*(value for value in operands if value not in constants), merged]
