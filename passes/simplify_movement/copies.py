"""Expand and Tile, which repeat what is there, and blocks of pixels that go to channels and come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Refused, Rule, const, op, rest, since, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import (
    integers,
    maker,
    producer,
    reads,
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

    pattern: ClassVar[Op] = op.Expand(var("x"), const("shape"), name="outer", where=reads("Expand"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Expand once."""
        target, (_, source) = _expanded(match.root), maker(match["x"])
        if target is None:
            raise Refused("the targets of the two are not known to fit")
        return build.op("Expand", source, build.constant("shape", np.array(target, np.int64)))


def _needless(node: ir.Node) -> Iterator[tuple[int, ir.Value]]:
    """Yield which input of an elementwise operator is expanded no further than another one is wide."""
    for index, value in enumerate(node.inputs):
        others = (other for place, other in enumerate(node.inputs) if place != index)
        if value and producer(value, "Expand") and any(broadcasts_into(value, other) for other in others):
            yield index, value


class ExpandThenBroadcast(Rule):
    """f(Expand(x), y) = f(x, y) for an elementwise f, if y is as wide as the Expand makes x."""

    pattern: ClassVar[Op] = op(*BROADCASTING)(
        rest("operands"), name="elementwise", where=lambda node: any(_needless(node))
    )
    opsets: ClassVar[range] = since(8)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Let the operator broadcast."""
        operands, (index, expanded) = list(match.rest("operands")), next(_needless(match.root))
        _, operands[index] = maker(expanded)
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

    pattern: ClassVar[Op] = op.Tile(var("x"), const("repeats"), name="outer", where=reads("Tile"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Tile once."""
        repeats, (_, source) = _repeats(match.root), maker(match["x"])
        if repeats is None:
            raise Refused("the repeats of the two are not known")
        return build.op("Tile", source, build.constant("repeats", np.array(repeats, np.int64)))


def _inverse(node: ir.Node) -> ir.Node | None:
    """Return the SpaceToDepth before a DepthToSpace, or the other way round."""
    return producer(node.inputs[0], "SpaceToDepth" if node.op_type == "DepthToSpace" else "DepthToSpace")


class BlocksThereAndBack(Rule):
    """DepthToSpace(SpaceToDepth(x)) = x = SpaceToDepth(DepthToSpace(x)) for one block size, in the mode DCR."""

    pattern: ClassVar[Op] = op("DepthToSpace", "SpaceToDepth")(
        var("x"), name="outer", where=lambda node: _inverse(node) is not None
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:  # noqa: ARG002 (nothing is built)
        """Leave what was there before."""
        inner, source = maker(match["x"])
        modes = {node.attributes.get_string("mode", "DCR") for node in (inner, match.root)}
        sizes = {node.attributes["blocksize"].as_int() for node in (inner, match.root)}
        if modes != {"DCR"} or len(sizes) > 1:
            raise Refused("the two do not move blocks of one size in one order")
        return source
