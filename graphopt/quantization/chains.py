"""Pairs of layers whose channels between them are theirs alone, so that both sides can be changed together.

A chain is a layer, operators that work on each channel by itself, and a layer that reads the result, with no other
reader and no graph output between. Channels are axis 1 behind a Conv, and the last axis behind a Gemm or MatMul.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant, is_constant
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.quantization.rows import Float64, from_rows, to_rows, weight_of

HOMOGENEOUS = frozenset({"Identity", "LeakyRelu", "PRelu", "Relu"})
"""f(s·x) = s·f(x) for every s > 0, element by element."""

POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})
"""The same channel by channel, over axes from 2 on."""


class Layer:
    """A Conv, ConvTranspose, Gemm or MatMul of float32 constants, to be changed and written back.

    Attributes:
        rows: its weight, float64 [groups, channels out / group, columns]; see `graphopt.quantization.rows`.
        bias: float64, None where there is none; its last axis, or its only one, is the channels out.

    """

    def __init__(self, node: ir.Node, weight: Float64, bias: Float64 | None) -> None:
        self.node = node
        self.rows = to_rows(node, weight)
        self.bias = bias
        self._shape = weight.shape

    @classmethod
    def of(cls, node: ir.Node) -> Layer | None:
        """Return the layer that a node is, or None."""
        weight = weight_of(node)
        given = node.inputs[2] if len(node.inputs) > 2 else None
        if weight is None or weight.dtype != np.float32 or (given is not None and not is_constant(given)):
            return None
        layer = cls(node, weight.astype(np.float64), None)
        bias = constant(given)
        if bias is not None and bias.shape[-1:] not in ((), (1,), (layer.channels_out,)):
            return None
        if bias is not None:
            layer.bias = np.broadcast_to(bias, (*bias.shape[:-1], layer.channels_out)).astype(np.float64)
        return layer

    @property
    def channels_out(self) -> int:
        """How many channels the layer makes."""
        return int(np.prod(self.rows.shape[:2]))

    @property
    def channels_in(self) -> int:
        """How many channels the layer reads."""
        groups, _, columns = self.rows.shape
        return int(groups * columns // math.prod(self._shape[2:]))

    def by_inputs(self, channels: int) -> Float64:
        """Return the rows with a column's channel and its taps apart: [groups, out / group, in / group, taps]."""
        groups, rows, _ = self.rows.shape
        return self.rows.reshape(groups, rows, channels // groups, -1)

    def scale_outputs(self, scale: Float64) -> None:
        """Multiply each channel of what the layer makes."""
        self.rows = self.rows * scale.reshape(*self.rows.shape[:2], 1)
        self.bias = None if self.bias is None else self.bias * scale

    def scale_inputs(self, scale: Float64) -> None:
        """Expect each channel of what the layer reads divided by `scale`."""
        split = self.by_inputs(scale.size)
        self.rows = (split * scale.reshape(split.shape[0], 1, -1, 1)).reshape(self.rows.shape)

    def store(self, names: Names) -> None:
        """Write the weight and the bias, rounded to float32, into the model; what others read too stays as it is."""
        self._store(names, 1, from_rows(self.node, self.rows, self._shape))
        if self.bias is not None:
            self._store(names, 2, self.bias)

    def _store(self, names: Names, index: int, array: Float64) -> None:
        if index == len(self.node.inputs):
            self.node.resize_inputs(index + 1)
        node, graph, old = self.node, self.node.graph, self.node.inputs[index]
        rounded = np.ascontiguousarray(array, np.float32)
        if old is not None and old.is_initializer() and len(old.uses()) == 1 and not old.is_graph_output():
            old.const_value, old.shape = ir.tensor(rounded, name=old.name), ir.Shape(rounded.shape)
        elif isinstance(graph, ir.Graph):
            base = f"{node.outputs[0].name}_bias" if old is None else str(old.name)
            node.replace_input_with(index, add_initializer(graph, names.fresh(base), rounded))
            erase_unread([] if old is None else [old])


@dataclass(frozen=True, eq=False)
class Chain:
    """Two layers, and the nodes that lead from the first to the second, in order."""

    first: Layer
    between: tuple[ir.Node, ...]
    second: Layer

    @property
    def channels(self) -> int:
        """How many channels the two share."""
        return self.first.channels_out


def find_chains(model: ir.Model, through: Collection[str]) -> list[Chain]:
    """Return the chains of the main graph, in order, whose nodes between are of the operators named, or Flatten.

    A layer stands in at most two chains, the same object in both.
    """
    layers = {node: layer for node in model.graph if (layer := Layer.of(node)) is not None}
    found = (_follow(layer, layers, through) for layer in layers.values())
    return [chain for chain in found if chain is not None]


def _follow(first: Layer, layers: Mapping[ir.Node, Layer], through: Collection[str]) -> Chain | None:
    between: list[ir.Node] = []
    on_axis_1, node = is_op(first.node, "Conv", "ConvTranspose"), _sole_reader(first.node)
    while node is not None and node not in layers:
        if on_axis_1 and is_op(node, "Flatten") and node.attributes.get_int("axis", 1) == 1:
            on_axis_1 = False
        elif not is_op(node, *through) or (not on_axis_1 and node.op_type in POOLS):
            return None
        between.append(node)
        node = _sole_reader(node)
    if node is None or on_axis_1 != is_op(node, "Conv", "ConvTranspose"):
        return None
    if node.attributes.get_int("transA", 0) == 1:
        return None
    return Chain(first, tuple(between), layers[node])


def _sole_reader(node: ir.Node) -> ir.Node | None:
    """Return the one node of the same graph that reads the node's one output, as its first input."""
    value, *others = node.outputs
    if value.is_graph_output() or len(value.uses()) != 1 or any(other.name for other in others):
        return None
    ((reader, index),) = value.uses()
    return reader if index == 0 and reader.graph is node.graph else None
