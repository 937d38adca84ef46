"""fold-pad: convolutions and pools pad by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import has_references, is_standard
from graphopt.rewrite import Builder, Match, Refused, RewritePass, Rule, op, optional, parameter, rest, var
from graphopt.rewrite.pattern import Op
from graphopt.tensors import Array

NON_NEGATIVE = frozenset("Abs Exp HardSigmoid Relu Sigmoid Softmax Softplus".split())
"""Operators whose output is at least zero, whatever the input; HardSigmoid and Softplus with any attributes."""

SPATIAL = 2
"""The first axis that a window moves along, after batch and channel."""


class Padding(NamedTuple):
    """How many elements stand before and after each axis; both have the rank of the tensor."""

    begins: tuple[int, ...]
    ends: tuple[int, ...]

    def plus(self, other: Padding) -> Padding:
        """Return both, one around the other."""
        return Padding(_sums(self.begins, other.begins), _sums(self.ends, other.ends))

    def spatial(self) -> Padding:
        """Return the padding of the axes that a window moves along."""
        return Padding(self.begins[SPATIAL:], self.ends[SPATIAL:])

    def flat(self) -> list[int]:
        """Return it as ONNX writes it: all beginnings, all ends."""
        return [*self.begins, *self.ends]


def _pad(name: str = "pad") -> Op:
    """Match a Pad of `x`: attributes before opset 11, inputs since, chosen axes since opset 18."""
    return op.Pad(
        var("x"),
        optional(parameter(f"{name}.pads")),
        optional(parameter(f"{name}.value")),
        optional(parameter(f"{name}.axes")),
        name=name,
    )


def _dequantized(integers: Op) -> Op:
    """Match real numbers made of integers."""
    scale, zero = var("dequantize.scale"), optional(parameter("dequantize.zero"))
    return op.DequantizeLinear(integers, scale, zero, name="dequantize")


class PadThenConv(Rule):
    """w∗pad(x, p) with padding q = w∗x with padding p + q, where pad writes zeros and no channel: so does Conv."""

    pattern: ClassVar[Op] = op.Conv(_pad(), rest("others"), name="window")

    def refuse(self, match: Match) -> str | None:
        """Refuse what a convolution cannot pad."""
        return _refuse_value(match, (0.0,)) or _refuse_window(match)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the padding to the convolution's own."""
        return _padded(match, build, match["x"])


class PadThenDequantizedConv(Rule):
    """w∗s(pad(q, p, z) - z) = w∗s(q - z) with padding p, since s(z - z) = 0: what Conv pads with."""

    pattern: ClassVar[Op] = op.Conv(_dequantized(_pad()), rest("others"), name="window")

    def refuse(self, match: Match) -> str | None:
        """Refuse integers that stand for something else than zero, and parameters along an axis that is padded."""
        zero = np.unique(_zero_point(match, "dequantize"))
        if zero.size > 1:
            return "its zero points differ, and it writes one of them"
        return _refuse_value(match, tuple(zero.tolist())) or _refuse_window(match) or _refuse_axis(match, "dequantize")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the padding to the convolution's own."""
        return _padded(match, build, _again(match, build, "dequantize", match["x"]))


class PadThenQuantizedConv(Rule):
    """w∗s(quantize(pad(x, p)) - z) = w∗s(quantize(x) - z) with padding p, where pad writes zeros: they become z."""

    pattern: ClassVar[Op] = op.Conv(
        _dequantized(
            op.QuantizeLinear(_pad(), var("quantize.scale"), optional(parameter("quantize.zero")), name="quantize")
        ),
        rest("others"),
        name="window",
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what writes no zeros, and two zero points: a zero is none behind both."""
        if not np.array_equal(_zero_point(match, "quantize"), _zero_point(match, "dequantize")):
            return "the zero point behind the integers is not that before them"
        reason = _refuse_value(match, (0.0,)) or _refuse_window(match)
        return reason or _refuse_axis(match, "quantize") or _refuse_axis(match, "dequantize")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the padding to the convolution's own."""
        integers = _again(match, build, "quantize", match["x"])
        return _padded(match, build, _again(match, build, "dequantize", integers))


class PadThenAveragePool(Rule):
    """average(pad(x, p)) = the average with padding p that counts its zeros as elements.

    Also where the pool pads itself, if it counts its zeros. Not with a rounded-up output, whose last windows
    hang over the border and divide by what they hold of it.
    """

    pattern: ClassVar[Op] = op.AveragePool(_pad(), name="window")

    def refuse(self, match: Match) -> str | None:
        """Refuse a pool that divides by something else."""
        reason = _refuse_value(match, (0.0,)) or _refuse_window(match) or _refuse_pool(match)
        if reason is None and match.attribute("window", "ceil_mode", 0):
            return "it rounds the size of its output up, so that its last windows count differently"
        if reason is None and any(_own_pads(match)) and not match.attribute("window", "count_include_pad", 0):
            return "it pads too, and does not count its own zeros"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the padding to the pool's own, and count it."""
        pads = _window_padding(match).flat()
        return build.like(match.node("window"), [match["x"]], pads=pads, auto_pad=None, count_include_pad=1)


class PadThenMaxPool(Rule):
    """max(pad(x, p)) = the maximum with padding p, where what pad writes is never the only largest element.

    A pool ignores its own padding. So may be written: -∞; or zeros, if no element of x is below zero, since
    every window holds an element of x: it is wider than the padding on either side, without gaps.
    """

    pattern: ClassVar[Op] = op.MaxPool(_pad(), name="window")

    def refuse(self, match: Match) -> str | None:
        """Refuse a value that may be the largest, and windows that see nothing else."""
        neutral = (-np.inf, 0.0) if _is_non_negative(match["x"]) else (-np.inf,)
        reason = _refuse_value(match, neutral) or _refuse_window(match) or _refuse_pool(match)
        if reason is None and match.attribute("window", "ceil_mode", 0) and any(_padding(match, "pad").ends):
            return "it rounds the size of its output up, where a window may begin in a Pad but not in a pool's padding"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the padding to the pool's own."""
        return build.like(match.node("window"), [match["x"]], pads=_window_padding(match).flat(), auto_pad=None)


class PadTwice(Rule):
    """pad(pad(x, p), q) = pad(x, p + q), where both write the same value."""

    pattern: ClassVar[Op] = op.Pad(
        _pad("inner"),
        optional(parameter("pad.pads")),
        optional(parameter("pad.value")),
        optional(parameter("pad.axes")),
        name="pad",
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse two values, and what is no padding with a value."""
        value = (_value(match, "pad"),)
        return _refuse_value(match, value) or _refuse_value(match, value, "inner")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the two."""
        pads = _padding(match, "pad").plus(_padding(match, "inner")).flat()
        if "pad.pads" not in match:
            return build.like(match.node("pad"), [match["x"]], pads=pads)
        given = build.constant("pads", np.array(pads, np.int64))
        return build.like(match.node("pad"), [match["x"], given, match.get("pad.value")])


class FoldPad(RewritePass):
    """Folds Pad into the convolution or pool that reads it, and into a Pad that does."""

    name: ClassVar[str] = "fold-pad"

    def rules(self) -> Sequence[Rule]:
        """Return the rules."""
        return (
            PadTwice(),
            PadThenConv(),
            PadThenDequantizedConv(),
            PadThenQuantizedConv(),
            PadThenAveragePool(),
            PadThenMaxPool(),
        )


def _padded(match: Match, build: Builder, x: ir.Value) -> ir.Value:
    """Repeat the matched convolution on what is not padded, with the padding of both."""
    pads = _window_padding(match).flat()
    return build.like(match.node("window"), [x, *match.rest("others")], pads=pads, auto_pad=None)


def _again(match: Match, build: Builder, name: str, x: ir.Value) -> ir.Value:
    """Repeat a matched QuantizeLinear or DequantizeLinear on what is not padded."""
    node = match.node(name)
    attributes = {key: attribute.value for key, attribute in node.attributes.items()}
    return build.op(node.op_type, x, match[f"{name}.scale"], match.get(f"{name}.zero"), **attributes)


def _zero_point(match: Match, name: str) -> Array:
    """Return the integers that stand for zero; 0 does where none are given."""
    return match.constant(f"{name}.zero") if f"{name}.zero" in match else np.zeros(1, np.int64)


def _refuse_axis(match: Match, name: str) -> str | None:
    """Return why parameters might not fit what is not padded; one an element of the channels does."""
    scale = match[f"{name}.scale"].shape
    if scale is not None and (len(scale) == 0 or scale == (1,)):
        return None
    if match.attribute(name, "axis", 1) != 1 or match.attribute(name, "block_size", 0):
        return "its scales lie along an axis that is padded, or in blocks"
    return None if scale is not None and len(scale) == 1 else "the rank of its scale is unknown"


def _refuse_value(match: Match, neutral: Sequence[object], name: str = "pad") -> str | None:
    """Return why a matched Pad does not write one of the neutral values around its input."""
    mode, value = match.attribute(name, "mode", "constant"), _value(match, name)
    if mode != "constant":
        return f"it pads by {mode}"
    if value not in neutral:
        return f"it pads with {value}, which would change the result"
    return "it crops" if min(_pads(match, name), default=0) < 0 else None


def _refuse_window(match: Match) -> str | None:
    """Return why a window operator cannot do the padding: it moves along other axes, or pads as it likes."""
    padding, auto_pad = _padding(match, "pad"), match.attribute("window", "auto_pad", "NOTSET")
    if any(padding.begins[:SPATIAL]) or any(padding.ends[:SPATIAL]):
        return "it pads the batch or the channels"
    if auto_pad not in ("NOTSET", "VALID"):
        return f"the {match.root.op_type} pads by itself (auto_pad={auto_pad})"
    return None


def _refuse_pool(match: Match) -> str | None:
    """Return why some window of a pool might hold nothing but padding, which runtimes refuse to pool."""
    kernel = match.attribute("window", "kernel_shape", ())
    padding = _window_padding(match)
    if any(step != 1 for step in match.attribute("window", "dilations", ())):
        return "the pool's windows have gaps"
    if any(max(pads) >= size for *pads, size in zip(padding.begins, padding.ends, kernel, strict=True)):
        return "the padding is as wide as the pool's window"
    return None


def _window_padding(match: Match) -> Padding:
    """Return the padding of both, along the axes that the window moves along."""
    padding, own = _padding(match, "pad").spatial(), _own_pads(match)
    half = len(padding.begins)
    return padding.plus(Padding(own[:half], own[half:])) if own else padding


def _own_pads(match: Match) -> tuple[int, ...]:
    """Return the padding that a window operator has; with auto_pad=VALID the attribute does not count."""
    return () if match.attribute("window", "auto_pad", "NOTSET") == "VALID" else match.attribute("window", "pads", ())


def _padding(match: Match, name: str) -> Padding:
    """Return the padding of a matched Pad for each axis of its input.

    Raises:
        Refused: it counts axes from the last one, and the rank is unknown.

    """
    pads = _pads(match, name)
    half = len(pads) // 2
    rank = _rank(match["x"], match.node(name).outputs[0])
    if f"{name}.axes" not in match:
        return Padding(tuple(pads[:half]), tuple(pads[half:]))
    if rank is None:
        raise Refused(f"the rank of {match['x'].name!r} is unknown")
    begins, ends = [0] * rank, [0] * rank
    for axis, begin, end in zip(match.constant(f"{name}.axes").ravel().tolist(), pads[:half], pads[half:], strict=True):
        begins[axis], ends[axis] = begin, end
    return Padding(tuple(begins), tuple(ends))


def _pads(match: Match, name: str) -> Sequence[int]:
    if f"{name}.pads" in match:
        return [int(number) for number in match.constant(f"{name}.pads").ravel()]
    return match.attribute(name, "pads", ())


def _value(match: Match, name: str) -> object:
    """Return what a matched Pad writes; 0 is also what it writes if nothing is given."""
    if f"{name}.value" in match:
        return next(iter(match.constant(f"{name}.value").ravel().tolist()), None)
    return match.attribute(name, "value", 0.0)


def _is_non_negative(value: ir.Value) -> bool:
    """Whether no element is below zero, by its type or by what made it."""
    producer = value.producer()
    if value.dtype is not None and not value.dtype.is_signed():
        return True
    if producer is None or not is_standard(producer) or has_references(producer):
        return False
    return producer.op_type in NON_NEGATIVE or (producer.op_type == "Clip" and _clips_at_zero(producer))


def _clips_at_zero(node: ir.Node) -> bool:
    """Whether neither limit of a Clip is below zero; where they cross, the upper one wins."""
    return _limit(node, 1, "min", -np.inf) >= 0 and _limit(node, 2, "max", np.inf) >= 0


def _limit(node: ir.Node, index: int, name: str, absent: float) -> float:
    """Return a limit of a Clip, an attribute before opset 11; NaN where it is not known now."""
    if len(node.inputs) > index and node.inputs[index] is not None:
        array = constant(node.inputs[index])
        return np.nan if array is None else float(array.astype(np.float64).item())
    return node.attributes.get_float(name, absent)


def _rank(*values: ir.Value) -> int | None:
    return next((len(value.shape) for value in values if value.shape is not None), None)


def _sums(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))
