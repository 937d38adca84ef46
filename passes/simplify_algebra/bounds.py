"""Relu, Clip, Min and Max with scalar constants, read as min(max(x, low), high).

Two in a row are one: bounds pass through the second step like any other number, low = c₂(low₁) and
high = c₂(high₁). If low > high, Clip gives high (ONNX operator spec, Clip-13), so low counts as high. Every
bound is one of those given, so nothing rounds; NaN passes through both sides.

A Clip without a bound stops infinities at the largest number of its type (and onnxruntime does that). As in
eliminate-identity it counts as no bound; but no such Clip is made out of operators that let infinities pass.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Refused, Rule, const, either, op, optional, scalar, var
from graphopt.rewrite.pattern import Either, Pattern
from graphopt.tensors import Array
from passes.simplify_algebra.interval import Interval
from passes.simplify_algebra.signs import absorbed, read_by_sign
from passes.simplify_algebra.values import is_float, shaped_like

EXTREMA_BROADCAST = 8
CLIP_TAKES_INPUTS = 11
CLIP_TAKES_INTEGERS = 12
_LARGEST = 3.4028234663852886e38  # the default of Clip's attribute max


def _is_number(array: Array) -> bool:
    return array.size == 1 and array.dtype.kind not in "OSU" and not math.isnan(float(array.item()))


def _bounded(x: Pattern, name: str) -> Either:
    low, high = const(f"{name}.low", _is_number), const(f"{name}.high", _is_number)
    return either(
        op.Relu(x, name=name),
        op.Clip(x, optional(low), optional(high), name=name),
        op.Max(low, x, name=name),
        op.Min(high, x, name=name),
    )


class BoundTwice(Rule):
    """clip(clip(x, l₁, h₁), l₂, h₂) = clip(x, clip(l₁, l₂, h₂), clip(h₁, l₂, h₂)); Relu, Min and Max likewise."""

    pattern: ClassVar[Either] = _bounded(_bounded(var("x"), "first"), "second")

    def refuse(self, match: Match) -> str | None:
        """Refuse a type that is not known, and constants that widen x."""
        return _refuse(match, "first") or _refuse(match, "second")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Bound once."""
        whole = _interval(match, "second").after(_interval(match, "first"))
        stops = "Clip" in {match.node("first").op_type, match.node("second").op_type}
        return _bound(match, build, whole, stops_infinities=stops)


class BoundOfNegation(Rule):
    """-clip(-x, l, h) = clip(x, -h, -l), in floating point; and so wherever the sign is absorbed."""

    pattern: ClassVar[Either] = read_by_sign(_bounded(op.Neg(var("x", is_float)), "only"))

    def refuse(self, match: Match) -> str | None:
        """Refuse a constant that widens x."""
        return _refuse(match, "only")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Bound what was negated."""
        stops = match.node("only").op_type == "Clip"
        bounded = _bound(match, build, _interval(match, "only").opposite, stops_infinities=stops)
        return absorbed(match, build, shaped_like(bounded, match["x"]))


class BoundAtZero(Rule):
    """max(x, 0) = clip(x, 0, ∞) = relu(x), in floating point."""

    stage: ClassVar[int] = 1
    pattern: ClassVar[Either] = either(
        op.Clip(var("x", is_float), scalar(0.0), name="only"),
        op.Clip(var("x", is_float), min=0.0, max=_LARGEST, name="only"),
        op.Max(scalar(0.0, "only.low"), var("x", is_float), name="only"),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a zero that widens x."""
        return _refuse(match, "only")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Make it a Relu."""
        return build.op("Relu", match["x"])


def _refuse(match: Match, name: str) -> str | None:
    x = match["x"]
    if x.dtype is None:
        return f"the type of {x.name!r} is unknown"
    if match.node(name).op_type in {"Min", "Max"}:
        bound = match.get(f"{name}.low") or match[f"{name}.high"]
        if not broadcasts_into(bound, x):
            return f"{bound.name!r} may broadcast {x.name!r} to another shape"
    return None


def _interval(match: Match, name: str) -> Interval:
    if match.node(name).op_type == "Relu":
        return Interval(0, math.inf)
    return Interval(_bound_of(match, name, "low", "min", -math.inf), _bound_of(match, name, "high", "max", math.inf))


def _bound_of(match: Match, name: str, part: str, attribute: str, default: float) -> float:
    if f"{name}.{part}" in match:
        number: float = match.constant(f"{name}.{part}").item()
        return number
    return match.attribute(name, attribute, default)


def _bound(match: Match, build: Builder, interval: Interval, *, stops_infinities: bool) -> ir.Value:
    if _is_relu(match, interval):
        return build.op("Relu", match["x"])
    if stops_infinities or interval.is_finite:
        return _clip(match, build, interval)
    return _extremum(match, build, interval)


def _is_relu(match: Match, interval: Interval) -> bool:
    return interval == Interval(0, math.inf) and is_float(match["x"])


def _extremum(match: Match, build: Builder, interval: Interval) -> ir.Value:
    """Bound on one side, or on none, without stopping infinities on the other."""
    op_type, bound = ("Max", interval.low) if interval.low > -math.inf else ("Min", interval.high)
    if match.opset < EXTREMA_BROADCAST:
        raise Refused(f"{op_type} takes operands of one shape in opset {match.opset}")
    return build.op(op_type, match["x"], _constant(match, build, op_type.lower(), bound))


def _clip(match: Match, build: Builder, interval: Interval) -> ir.Value:
    x = match["x"]
    if match.opset < CLIP_TAKES_INTEGERS and not is_float(x):
        raise Refused(f"Clip takes no integers in opset {match.opset}")
    low = None if interval.low == -math.inf else interval.low
    high = None if interval.high == math.inf else interval.high
    if match.opset < CLIP_TAKES_INPUTS:
        given = {"min": low, "max": high}
        return build.op("Clip", x, **{name: _float32(bound) for name, bound in given.items() if bound is not None})
    return build.op("Clip", x, _constant(match, build, "low", low), _constant(match, build, "high", high))


def _float32(bound: float) -> float:
    """Return what an attribute can hold; raises Refused if that is another number."""
    if float(np.float32(bound)) != bound:
        raise Refused(f"the bound {bound} is no float32, which attributes are")
    return float(bound)


def _constant(match: Match, build: Builder, name: str, bound: float | None) -> ir.Value | None:
    dtype = match["x"].dtype
    if bound is None or dtype is None:
        return None
    return build.constant(name, np.array(bound, dtype.numpy()))
