"""QDQ as onnxruntime's CPU kernels and our own backend take it.

A node that computes in integers stands between a DequantizeLinear for each of its inputs, which nothing else reads, and
a QuantizeLinear for each output, the only reader of it:

    DequantizeLinear ─┐
    DequantizeLinear ─┼─ Conv ── QuantizeLinear
    DequantizeLinear ─┘ int32

A float between them, a second reader, an output of the graph there would keep onnxruntime from computing it in
integers (`QDQ::NodeGroupSelector` in its sources; tried with version 1.32).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant
from graphopt.ir.dead import erase, erase_unread, is_unread
from graphopt.ir.edit import Names
from graphopt.quantization.affine import Affine, limits_of
from graphopt.quantization.biases import bias_name
from graphopt.quantization.emit.constants import Constants, as_row, bias_affine
from graphopt.quantization.obstacles import BIAS, BIASED, WEIGHT, activations, clamp_of
from graphopt.quantization.plan import Plan
from graphopt.tensors import Array

_CHANNELS_SINCE, _SMALL_AND_WIDE_SINCE = 13, 21
"""The opsets of DequantizeLinear since which scales lie along an axis, and since which there are 4 and 16 bits."""


class QDQEmitter:
    """Writes one plan into one model."""

    def __init__(self, model: ir.Model, plan: Plan) -> None:
        self._model = model
        self._graph = model.graph
        self._plan = plan
        self._names = Names(model)
        self._constants = Constants(model.graph, self._names)
        self._nodes: set[ir.Node] = set()
        self._biases: dict[ir.Node, str] = {}
        self._ends: dict[ir.Value, Array] = {}  # integers between which a value is clipped
        self._new = 0

    def run(self) -> int:
        """Write it; return how many nodes are new. Raises ModelError where the opset lacks something."""
        self._check_opset()
        self._biases = {node: self._bias_key(node) for node in self._graph if node.op_type in BIASED}
        self._drop_clamps()
        self._nodes = {node for node in self._graph if node.outputs and node.outputs[0].name in self._plan.nodes}
        values = [*self._graph.inputs, *(value for node in self._graph for value in node.outputs)]
        for node in tuple(self._graph):
            if node in self._nodes:
                self._quantize_constants(node)
        for value in values:
            affine = self._plan.values.get(str(value.name))
            if affine is not None and not is_unread(value):
                self._quantize_activation(value, affine)
        return self._new

    def _check_opset(self) -> None:
        affines = [*self._plan.values.values(), *self._plan.weights.values()]
        odd = any(limits_of(affine.dtype)[1] not in {127, 255} for affine in affines)
        needed = _SMALL_AND_WIDE_SINCE if odd else _CHANNELS_SINCE
        found = self._model.opset_imports.get("", needed)
        if affines and found < needed:
            raise ModelError(
                f"the plan needs opset {needed}, not {found}; run convert-opset{{version={needed}}} before"
            )

    def _drop_clamps(self) -> None:
        """Remove each Relu and Clip behind what absorbs it: its bounds become integers, which clip as well.

        Where those are the least and the greatest there are, QuantizeLinear does that by itself. Rounding is monotonic,
        so that it makes no difference which comes first.
        """
        for node in tuple(self._graph):
            value = node.outputs[0] if node.outputs else None
            if value is None or value.name not in self._plan.nodes or value.name not in self._plan.values:
                continue
            before, bounds, affine = node.inputs[0], clamp_of(node), self._plan.values[value.name]
            if before is None or bounds is None or before.name in self._plan.values:
                continue
            ends = affine.quantize(np.array(bounds, np.float32))
            if tuple(ends.astype(np.int64).tolist()) != affine.limits:
                if affine.dtype.itemsize > 1:  # onnxruntime clips no integers of 16 bits
                    continue
                self._ends[before] = ends
            before.shape = value.shape if before.shape is None else before.shape
            before.type = value.type if before.type is None else before.type
            value.name, before.name = None, value.name
            value.replace_all_uses_with(before, replace_graph_outputs=True)
            erase_unread(erase(node))

    def _quantize_constants(self, node: ir.Node) -> None:
        weight = node.inputs[WEIGHT] if len(node.inputs) > WEIGHT else None
        affine = self._plan.weights.get(str(weight.name)) if weight is not None else None
        array = constant(weight)
        if weight is None or affine is None or array is None:
            return
        name = str(weight.name)
        integers = self._plan.integers.get(name)
        held = self._constants.integers(name, affine.quantize(array) if integers is None else integers, affine)
        node.replace_input_with(WEIGHT, self._dequantize(node, held, affine, name))
        erase_unread([weight])
        if node.op_type in BIASED:
            self._write_bias(node, affine)

    def _bias_key(self, node: ir.Node) -> str:
        """Return under which name the plan may have a bias for a node, before any name changes."""
        own, bias = bias_name(node), node.inputs[BIAS] if len(node.inputs) > BIAS else None
        return own if bias is None or own in self._plan.biases else str(bias.name)

    def _write_bias(self, node: ir.Node, weight: Affine) -> None:
        """Make the bias an int32 where the sums that it is added to are integers."""
        old, key = node.inputs[BIAS] if len(node.inputs) > BIAS else None, self._biases[node]
        bias = self._plan.biases.get(key, constant(old))
        activation = self._summed(node)
        if bias is None or (activation is None and key not in self._plan.biases):
            return
        name = key if old is not None and old.name == key else f"{key}_bias"
        if activation is None:
            new = self._constants.floats(name, as_row(bias))
        else:
            affine = bias_affine(activation, weight)
            held = self._constants.integers(name, affine.quantize(as_row(bias)), affine)
            new = self._dequantize(node, held, affine, name)
        if len(node.inputs) <= BIAS:
            node.resize_inputs(BIAS + 1)
        node.replace_input_with(BIAS, new)
        if old is not None:
            erase_unread([old])

    def _summed(self, node: ir.Node) -> Affine | None:
        """Return the parameters of the activation that a product sums in integers, or None where it sums floats."""
        (_, read), *_ = activations(node)
        return self._plan.values.get(str(read.name))

    def _quantize_activation(self, value: ir.Value, affine: Affine) -> None:
        """Give each reader in integers a DequantizeLinear of its own, and each other where only integers are made."""
        uses = list(value.uses())
        made = value.producer() in self._nodes
        quantize = self._quantize(value, affine)
        for reader, index in uses:
            if made or reader in self._nodes:
                reader.replace_input_with(index, self._read(reader, quantize, affine, str(value.name)))
        if made and value.is_graph_output():
            self._answer(value, quantize, affine)

    def _answer(self, value: ir.Value, quantize: ir.Node, affine: Affine) -> None:
        """Let the output of the graph be what the integers stand for, under its name."""
        name = str(value.name)
        value.name = self._names.fresh(f"{name}_real")
        answer = self._read(None, quantize, affine, name)
        answer.name = name
        for index, output in enumerate(self._graph.outputs):
            if output is value:
                self._graph.outputs[index] = answer

    def _quantize(self, value: ir.Value, affine: Affine) -> ir.Node:
        """Return the node behind a value that makes its integers."""
        name = str(value.name)
        node = self._node("QuantizeLinear", value, affine, name)
        producer = value.producer()
        if producer is None:
            next(iter(self._graph)).prepend(node)
        else:
            producer.append(node)
        return self._clip(node, name, self._ends[value]) if value in self._ends else node

    def _clip(self, quantize: ir.Node, name: str, ends: Array) -> ir.Node:
        least, greatest = (
            self._constants.bound(f"{name}_{end}", ends[index]) for index, end in enumerate(("min", "max"))
        )
        node = ir.node("Clip", [quantize.outputs[0], least, greatest], name=self._names.fresh(f"{name}_clipped"))
        output, integers = node.outputs[0], quantize.outputs[0]
        output.name, output.type, output.shape = node.name, integers.type, integers.shape
        quantize.append(node)
        self._new += 1
        return node

    def _read(self, reader: ir.Node | None, quantize: ir.Node, affine: Affine, name: str) -> ir.Value:
        """Return what integers stand for: before its reader, or for one within a subgraph behind what made them."""
        node = self._node("DequantizeLinear", quantize.outputs[0], affine, name)
        if reader is not None and reader.graph is self._graph:
            reader.prepend(node)
        else:
            quantize.append(node)
        return node.outputs[0]

    def _dequantize(self, reader: ir.Node, held: ir.Value, affine: Affine, name: str) -> ir.Value:
        node = self._node("DequantizeLinear", held, affine, name)
        reader.prepend(node)
        return node.outputs[0]

    def _node(self, op_type: str, value: ir.Value, affine: Affine, name: str) -> ir.Node:
        """Make a node on a value, or on its integers, by its name; it belongs to no graph yet.

        The output is typed, and its name says all that one of the node could.
        """
        scale, zero = self._constants.parameters(affine, name)
        attributes = {} if affine.axis is None else {"axis": affine.axis}
        node = ir.node(op_type, [value, scale, zero], attributes)
        output = node.outputs[0]
        is_integer = op_type == "QuantizeLinear"
        output.name = self._names.fresh(f"{name}_quantized" if is_integer else f"{name}_dequantized")
        kind = ir.DataType.from_numpy(affine.dtype) if is_integer else ir.DataType.FLOAT
        output.type, output.shape = ir.TensorType(kind), None if value.shape is None else value.shape.copy()
        self._new += 1
        return node
