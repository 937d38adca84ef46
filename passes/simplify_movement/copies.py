"""Expand and Tile, which repeat what is there, and Pad, which surrounds it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Refused, Rule, const, op, optional, rest, since, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import (
    has_setting,
    input_of,
    integers,
    producer,
    rank,
)

# Elementwise operators all of whose inputs broadcast against each other, since opset 8.
BROADCASTING = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip


def _expanded(outer: ir.Node) -> tuple[int, ...] | None:
    """Return the target of one Expand that does what two do, if both are constant and fit."""
    inner = producer(outer.inputs[0], "Expand")
    first, second = None if inner is None else integers(inner, "shape", 1), integers(outer, "shape", 1)
    if first is None or second is None:
        return None
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        return None


class ExpandTwice(Rule):
    """Expand(Expand(x, s), t) = Expand(x, s broadcast with t)."""

    pattern: ClassVar[Op] = op.Expand(
        var("x"), const("shape"), name="outer", where=lambda node: _expanded(node) is not None
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Expand once."""
        inner, target = match["x"].producer(), _expanded(match.root)
        if inner is None or inner.inputs[0] is None or target is None:
            raise Refused("the targets of the two do not fit")
        return build.op("Expand", inner.inputs[0], build.constant("shape", np.array(target, np.int64)))


def _needless(node: ir.Node) -> int | None:
    """Return which input of an elementwise operator is expanded no further than another one is wide."""
    for index, value in enumerate(node.inputs):
        others = (other for place, other in enumerate(node.inputs) if place != index)
        if producer(value, "Expand") and any(broadcasts_into(value, other) for other in others):
            return index
    return None


class ExpandThenBroadcast(Rule):
    """f(Expand(x), y) = f(x, y) for an elementwise f, if y is as wide as the Expand makes x."""

    pattern: ClassVar[Op] = op(*BROADCASTING)(
        rest("operands"), name="elementwise", where=lambda node: _needless(node) is not None
    )
    opsets: ClassVar[range] = since(8)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Let the operator broadcast."""
        operands, index = list(match.rest("operands")), _needless(match.root)
        inner = None if index is None else operands[index].producer()
        if index is None or inner is None or inner.inputs[0] is None:
            raise Refused("no operand is expanded")
        operands[index] = inner.inputs[0]
        return build.like(match.root, operands)


def _repeats(outer: ir.Node) -> list[int] | None:
    """Return the repeats of one Tile that does what two do, if both are constant."""
    inner = producer(outer.inputs[0], "Tile")
    first, second = None if inner is None else integers(inner, "repeats", 1), integers(outer, "repeats", 1)
    if first is None or second is None or len(first) != len(second):
        return None
    return [left * right for left, right in zip(first, second, strict=True)]


class TileTwice(Rule):
    """Tile(Tile(x, r), s) = Tile(x, r·s)."""

    pattern: ClassVar[Op] = op.Tile(
        var("x"), const("repeats"), name="outer", where=lambda node: _repeats(node) is not None
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Tile once."""
        inner, repeats = match["x"].producer(), _repeats(match.root)
        if inner is None or inner.inputs[0] is None or repeats is None:
            raise Refused("the repeats of the two are not known")
        return build.op("Tile", inner.inputs[0], build.constant("repeats", np.array(repeats, np.int64)))


def _pads(node: ir.Node) -> npt.NDArray[np.int64] | None:
    """Return the pads of a Pad by constants as [2, rank], begins and ends, or None; a crop is none."""
    given, ndim = integers(node, "pads", 1), rank(node.inputs[0])
    if given is None or node.attributes.get_string("mode", "constant") != "constant" or min(given, default=0) < 0:
        return None
    pads = np.array(given, np.int64).reshape(2, -1)
    if not has_setting(node, "axes", 3):
        return pads
    axes = integers(node, "axes", 3)
    if axes is None or ndim is None:
        return None
    whole = np.zeros((2, ndim), np.int64)
    whole[:, list(axes)] = pads
    return whole


def _filling(node: ir.Node) -> bytes | None:
    """Return what a Pad fills with, bit by bit; None if only a run tells."""
    given = input_of(node, 2)
    if given is None:
        filling = node.attributes.get_float("value", 0.0)
        return b"" if not filling else np.float64(filling).tobytes()
    array = constant(given)
    if array is None or array.size != 1:
        return None
    return array.tobytes() if any(array.tobytes()) else b""


def _surroundings(outer: ir.Node) -> npt.NDArray[np.int64] | None:
    """Return the pads of one Pad that does what two do, or None."""
    inner = producer(outer.inputs[0], "Pad")
    first, second = None if inner is None else _pads(inner), _pads(outer)
    if inner is None or first is None or second is None or first.shape != second.shape:
        return None
    same = _filling(inner) is not None and _filling(inner) == _filling(outer)
    return first + second if same else None


class PadTwice(Rule):
    """Pad(Pad(x, p, c), q, c) = Pad(x, p + q, c) for one constant c, if neither crops."""

    pattern: ClassVar[Op] = op.Pad(
        var("x"),
        optional(const("pads")),
        optional(const("value")),
        optional(const("axes")),
        name="outer",
        where=lambda node: _surroundings(node) is not None,
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Pad once."""
        inner, pads = match["x"].producer(), _surroundings(match.root)
        if inner is None or inner.inputs[0] is None or pads is None:
            raise Refused("the pads of the two do not add up")
        if "pads" in match.root.attributes:
            return build.like(match.root, [inner.inputs[0]], pads=pads.ravel().tolist())
        return build.like(match.root, [inner.inputs[0], build.constant("pads", pads.ravel()), match.get("value")])


def _undoes_blocks(node: ir.Node) -> bool:
    """Whether a DepthToSpace or SpaceToDepth undoes the other one before it; only the mode DCR is its inverse."""
    inverse = "SpaceToDepth" if node.op_type == "DepthToSpace" else "DepthToSpace"
    inner = producer(node.inputs[0], inverse)
    if inner is None:
        return False
    modes = {part.attributes.get_string("mode", "DCR") for part in (inner, node)}
    return modes == {"DCR"} and inner.attributes["blocksize"].as_int() == node.attributes["blocksize"].as_int()


class BlocksThereAndBack(Rule):
    """DepthToSpace(SpaceToDepth(x)) = x = SpaceToDepth(DepthToSpace(x)) for one block size, in the mode DCR."""

    pattern: ClassVar[Op] = op("DepthToSpace", "SpaceToDepth")(var("x"), name="outer", where=_undoes_blocks)

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing is built)
        """Leave what was there before."""
        inner = match["x"].producer()
        if inner is None or inner.inputs[0] is None:
            raise Refused("there is nothing before it")
        return inner.inputs[0]
