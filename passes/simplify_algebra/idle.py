"""Activations on numbers that leave them nothing to do, or less than they could.

What is proven of these numbers (`ranges`) holds for every input, so that nothing changes but the rounding that an upper
bound may have cut off. MobileNet's Clip between 0 and 6 behind a pooling of such values is one, and a HardSwish of what
is 3 at least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Rule, const, either, op, optional, var
from graphopt.rewrite.pattern import Either
from passes.simplify_algebra.interval import EVERYTHING, Interval
from passes.simplify_algebra.ranges import range_of
from passes.simplify_algebra.values import is_float, source

RELU = Interval(0, math.inf)
LINEAR_FROM: Mapping[str, float] = {"Celu": 0.0, "Elu": 0.0, "HardSwish": 3.0, "LeakyRelu": 0.0, "PRelu": 0.0}
"""From which number on an activation gives back what it is given (ONNX operator spec)."""


def _bounds(node: ir.Node) -> Interval:
    """Return the bounds of a Relu or a Clip, everything where they are not known."""
    if node.op_type == "Relu":
        return RELU
    given = [None if value is None else constant(value) for value in node.inputs[1:]]
    if any(array is None and value is not None for array, value in zip(given, node.inputs[1:], strict=True)):
        return EVERYTHING
    low = node.attributes.get_float("min", -math.inf) if not given or given[0] is None else float(given[0].item())
    high = node.attributes.get_float("max", math.inf) if len(given) < 2 or given[1] is None else float(given[1].item())
    return Interval(low, high)


def _needed(node: ir.Node) -> Interval:
    return _bounds(node).where_left(range_of(source(node.outputs[0])))


def _is_idle(node: ir.Node) -> bool:
    bounds = _bounds(node)
    return bounds != EVERYTHING and _needed(node) in ({EVERYTHING, RELU} - {bounds})


def _is_linear(node: ir.Node) -> bool:
    return range_of(source(node.outputs[0])).low >= LINEAR_FROM[node.op_type]


class IdleBound(Rule):
    """clip(x, l, h) = x where l ≤ x ≤ h for all x, and clip(x, 0, h) = relu(x) where all x ≤ h."""

    pattern: ClassVar[Either] = either(
        op.Relu(var("x", is_float), where=_is_idle),
        op.Clip(var("x", is_float), optional(const("low")), optional(const("high")), where=_is_idle),
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Leave the bounds out, or those that are never reached."""
        return match["x"] if _needed(match.root) == EVERYTHING else build.op("Relu", match["x"])


class IdleActivation(Rule):
    """leaky_relu(x) = prelu(x, slope) = elu(x) = celu(x) = x where all x ≥ 0, hard_swish(x) = x where all x ≥ 3."""

    pattern: ClassVar[Either] = either(
        op("Celu", "Elu", "HardSwish", "LeakyRelu")(var("x", is_float), where=_is_linear),
        op.PRelu(var("x", is_float), var("slope"), where=_is_linear),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a slope that may give the result another shape."""
        slope, x = match.get("slope"), match["x"]
        if slope is None or broadcasts_into(slope, x):
            return None
        return f"{slope.name!r} may broadcast {x.name!r} to another shape"

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Leave the input."""
        return match["x"]
