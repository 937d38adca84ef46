"""Channels that move without being moved: Concat, Split, Slice and Gather along them, between convolutions.

These operators say which channel is which, and a convolution of constant weights does not care where its channels
stand: it reads whole blocks of lanes of the values that hold them, its weights put in the same order, with zeros for
the channels of a block that are not its own (as in `grouping`, a NaN there reaches it). And a convolution whose
readers are such can write its own channels in any order: those with the same readers side by side, so that each
reader finds them in few blocks. So the shuffles of channels, after which ShuffleNet (Ma et al. 2018) sends half of
them past each convolution, cost no copy of the half that passes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import onnx_ir as ir

from graphopt.backends.tvm.lower.layout import PADDING, Layout, split_blocks
from graphopt.backends.tvm.lower.types import shape_of
from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.tensors import Array

Channel = tuple[ir.Value, int]
"""A channel of a value."""

_ELEMENTWISE = ("Clip", "HardSwish", "LeakyRelu", "Mish", "Relu", "Sigmoid", "Tanh")
"""Operators that are lowered in the layout of their first input, the others being constants of no axis."""
_MOVE = 90
"""Multiply-adds that take as long as moving one element: out of its blocks, to its place, and into blocks again."""


@dataclass(frozen=True)
class Assembly:
    """A value without code: `slots` of channels in runs of blocks of other values, (value, first block, end)."""

    parts: tuple[tuple[ir.Value, int, int], ...]
    slots: tuple[int, ...]


@dataclass(frozen=True)
class ChannelPlan:
    """Where channels stand.

    Attributes:
        moves: the nodes that need no code.
        assemblies: what convolutions read of their results.
        slots: the order, other than their own, of the channels of values.

    """

    moves: Collection[ir.Node] = ()
    assemblies: Mapping[ir.Value, Assembly] = field(default_factory=dict)
    slots: Mapping[ir.Value, tuple[int, ...]] = field(default_factory=dict)


def plan_channels(nodes: Sequence[ir.Node], outputs: Collection[ir.Value], lanes: int) -> ChannelPlan:
    """Plan for nodes in topological order, of whose values `outputs` are read in ONNX's order of axes."""
    moves = {node: moved for node in nodes if (moved := list(_moved(node)))}
    region = _Region(frozenset(nodes), frozenset(outputs))
    while True:
        region.keep_free(moves)
        plan = _Planner(region, moves, lanes).plan()
        unfit = {value for value, assembly in plan.assemblies.items() if not _is_fit(value, assembly)}
        if not unfit:
            return plan
        moves = {node: moved for node, moved in moves.items() if unfit.isdisjoint(node.outputs)}


def _is_fit(value: ir.Value, assembly: Assembly) -> bool:
    """Whether every channel has a slot of its own, and reading the other slots costs less than moving channels."""
    channels = shape_of(value)[1]
    whole = len(set(assembly.slots) - {PADDING}) == channels
    products = sum(_products(use.node) for use in value.uses() if _is_dense(use.node))
    return whole and (len(assembly.slots) - channels) * products <= _MOVE * channels


def _products(conv: ir.Node) -> int:
    """Return how often a convolution multiplies an element of its input, strides aside."""
    weights = constant(conv.inputs[1])
    return 0 if weights is None else weights.size // weights.shape[1]


def _moved(node: ir.Node) -> Iterator[list[Channel]]:
    """Yield, for each output of a node that moves channels and nothing else, where its channels come from."""
    data = [value for value in node.inputs if value is not None]
    if not is_op(node, "Concat", "Gather", "Slice", "Split") or not all(map(_is_map, [data[0], *node.outputs])):
        return
    if node.op_type == "Concat":
        if _axis(node) == 1:
            yield [(value, channel) for value in data for channel in range(shape_of(value)[1])]
    elif node.op_type == "Split":
        if _axis(node) == 1:
            start = 0
            for part in node.outputs:
                end = start + shape_of(part)[1]
                yield [(data[0], channel) for channel in range(start, end)]
                start = end
    elif (chosen := _chosen(node, shape_of(data[0]))) is not None:
        yield [(data[0], channel) for channel in chosen]


def _is_map(value: ir.Value) -> bool:
    """Whether a value has channels and space."""
    shape = value.shape
    return value.dtype is ir.DataType.FLOAT and shape is not None and shape.is_static() and len(shape) >= 3


def _axis(node: ir.Node) -> int:
    return node.attributes.get_int("axis", 0) % len(shape_of(node.outputs[0]))


def _chosen(node: ir.Node, shape: tuple[int, ...]) -> list[int] | None:
    """Return the channels that a Gather or a Slice takes, each once, of a value of a shape; None for other axes."""
    known = [array for array in map(constant, node.inputs[1:]) if array is not None]
    if not known or len(known) < len(node.inputs) - 1:
        return None
    if node.op_type == "Gather":
        indices = known[0]
        if _axis(node) != 1 or indices.ndim != 1 or not (-shape[1] <= indices.min() <= indices.max() < shape[1]):
            return None
        chosen = [int(index) % shape[1] for index in indices]
        return chosen if len(set(chosen)) == len(chosen) else None
    return _sliced(known, shape[1])


def _sliced(arguments: Sequence[Array], channels: int) -> list[int] | None:
    """Return what a Slice of these starts, ends, axes and steps takes, where it has just the axis of the channels."""
    if len(arguments) < 3 or arguments[2].tolist() != [1]:
        return None
    start, end, _, step = (int(argument[0]) for argument in (*arguments, np.ones(1))[:4])
    return list(range(channels))[start:end:step]


@dataclass(frozen=True)
class _Region:
    """What is lowered together."""

    nodes: frozenset[ir.Node]
    outputs: frozenset[ir.Value]

    def keep_free(self, moves: dict[ir.Node, list[list[Channel]]]) -> None:
        """Drop the moves with a reader who would want their result itself."""
        while blocked := [node for node in moves if not all(self.is_free(value, moves) for value in node.outputs)]:
            for node in blocked:
                del moves[node]

    def is_free(self, value: ir.Value, moves: Collection[ir.Node]) -> bool:
        """Whether all readers of a value take its channels in any order."""
        uses = value.uses()
        return value not in self.outputs and all(
            use.node in moves or (use.idx == 0 and self._takes(use.node)) for use in uses
        )

    def root(self, value: ir.Value, moves: Collection[ir.Node]) -> ir.Value | None:
        """Return the result of the convolution whose order a value has, where that can be any."""
        node = value.producer()
        if node is None or node not in self.nodes or not self.is_free(value, moves):
            return None
        if _is_dense(node):
            return value
        data = node.inputs[0]
        return self.root(data, (node,)) if data is not None and _keeps_order(node) else None

    def _takes(self, node: ir.Node) -> bool:
        """Whether a node, in the order in which it finds the channels of its first input, can do its work."""
        if node not in self.nodes:
            return False
        return _is_dense(node) or (_keeps_order(node) and self.is_free(node.outputs[0], ()))


def _is_dense(node: ir.Node) -> bool:
    return _is_float_conv(node) and node.attributes.get_int("group", 1) == 1


def _keeps_order(node: ir.Node) -> bool:
    """Whether each channel of a node's result depends on the same channel of its first input alone."""
    if is_op(node, *_ELEMENTWISE):
        return all(value is None or (constant(value) is not None and value.shape == ()) for value in node.inputs[1:])
    if not _is_float_conv(node):
        return False
    weights = constant(node.inputs[1])
    return weights is not None and weights.shape[1] == 1 and weights.shape[0] == node.attributes.get_int("group", 1)


def _is_float_conv(node: ir.Node) -> bool:
    return is_op(node, "Conv") and node.outputs[0].dtype is ir.DataType.FLOAT and constant(node.inputs[1]) is not None


class _Planner:
    """Follows channels through moves, from the values that hold them to the convolutions that read them."""

    def __init__(self, region: _Region, moves: Mapping[ir.Node, list[list[Channel]]], lanes: int) -> None:
        self._region, self._moves, self._lanes = region, moves, lanes
        self._origins: dict[ir.Value, list[Channel]] = {}
        for node, results in moves.items():
            for value, channels in zip(node.outputs, results, strict=True):
                self._origins[value] = [self._origin(channel) for channel in channels]

    def plan(self) -> ChannelPlan:
        """Return the plan."""
        slots: dict[ir.Value, tuple[int, ...]] = {}
        for value, readers in self._readers().items():
            root = self._region.root(value, self._moves)
            if root is not None and root not in slots and len(set(readers)) > 1:
                slots[value] = slots[root] = self._sorted(readers)
        read = [value for value in self._origins if any(use.node not in self._moves for use in value.uses())]
        return ChannelPlan(self._moves.keys(), {value: self._assembly(value, slots) for value in read}, slots)

    def _origin(self, channel: Channel) -> Channel:
        value, index = channel
        return self._origins[value][index] if value in self._origins else channel

    def _readers(self) -> dict[ir.Value, list[tuple[int, ...]]]:
        """Return, by value that holds channels, who reads each channel, as sorted numbers."""
        numbers: dict[ir.Node, int] = {}
        readers: dict[ir.Value, list[set[int]]] = {}
        for moved, origins in self._origins.items():
            for value, channel in origins:
                table = readers.setdefault(value, [set() for _ in range(shape_of(value)[1])])
                table[channel] |= {
                    numbers.setdefault(use.node, len(numbers)) for use in moved.uses() if use.node not in self._moves
                }
        return {value: [tuple(sorted(each)) for each in table] for value, table in readers.items()}

    def _sorted(self, readers: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Order channels by their readers; those of the same begin a block where they fill half of one."""
        slots: list[int] = []
        by_readers = sorted(range(len(readers)), key=lambda channel: readers[channel])
        for _, group in groupby(by_readers, key=lambda channel: readers[channel]):
            channels = list(group)
            if 2 * len(channels) >= self._lanes:
                slots += [PADDING] * (-len(slots) % self._lanes)
            slots += channels
        return (*slots, *[PADDING] * (-len(slots) % self._lanes))

    def _assembly(self, value: ir.Value, slots: Mapping[ir.Value, tuple[int, ...]]) -> Assembly:
        """Return the blocks that hold the channels of a value, and which is where in them."""
        origins = self._origins[value]
        layouts = {source: Layout(self._lanes, slots.get(source, ())) for source, _ in origins}
        places_of = {source: layout.places(shape_of(source)[1]) for source, layout in layouts.items()}
        places: dict[ir.Value, dict[int, int]] = {}
        for channel, (source, index) in enumerate(origins):
            places.setdefault(source, {})[places_of[source][index]] = channel
        parts: list[tuple[ir.Value, int, int]] = []
        found: list[int] = []
        for source, by_slot in places.items():
            blocks = sorted({slot // self._lanes for slot in by_slot})
            parts += [(source, first, end) for first, end in split_blocks(blocks)]
            held = (range(block * self._lanes, (block + 1) * self._lanes) for block in blocks)
            found += [by_slot.get(slot, PADDING) for block in held for slot in block]
        return Assembly(tuple(parts), tuple(found))
