"""Activations with a slope below zero, where the slope makes them simpler ones.

A slope of 0 does not: 0 · -∞ is NaN, relu(-∞) is 0.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Rule, const, either, op, var
from graphopt.rewrite.pattern import Either, Op
from graphopt.tensors import Array


def _is_uniform(array: Array) -> bool:
    return array.size > 0 and array.dtype.kind == "f" and bool((array == array.ravel()[0]).all())


class SlopeOfOne(Rule):
    """LeakyRelu(x, alpha=1) = x."""

    pattern: ClassVar[Op] = op.LeakyRelu(var("x"), alpha=1.0)

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing new)
        """Leave the input."""
        return match["x"]


class UniformSlope(Rule):
    """PRelu(x, slope) = LeakyRelu(x, alpha) where every slope is alpha: float32, as attributes are."""

    pattern: ClassVar[Either] = either(
        op.PRelu(var("x", lambda value: value.dtype is ir.DataType.FLOAT), const("slope", _is_uniform))
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a slope that may give the result another shape."""
        slope, x = match["slope"], match["x"]
        return None if broadcasts_into(slope, x) else f"{slope.name!r} may broadcast {x.name!r} to another shape"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Make the slope an attribute."""
        return build.op("LeakyRelu", match["x"], alpha=float(np.float32(match.constant("slope").ravel()[0])))
