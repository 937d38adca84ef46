"""From a quantized file of any form to the model on real numbers that it stands for, and the plan that it carries.

    DequantizeLinear ─ Conv ─ QuantizeLinear   ┐
    QLinearConv                                ┴─→  Conv, and how its input, weight and output become integers

What cannot be told apart so stays as it was written: parameters that a run computes, blocks of a channel, float16
scales, and a value that is made integers in a second way. Their readers read them as before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer, replace_value
from graphopt.ir.walk import has_subgraphs, is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.qoperators import QOperator, Triple, qoperator
from graphopt.quantization.doctor.quantizers import affine_from, insert, is_dequantize, is_quantize, parameters, write
from graphopt.quantization.doctor.site import MOVES
from graphopt.quantization.emit.constants import bias_affine
from graphopt.tensors import Array

_WRITES = {"Clip": (1, 2), "Pad": (2,)}
"""Operators that move integers and write some beside them, and the inputs that hold those (Clip-12, Pad-11)."""


@dataclass
class Reading:
    """A model on real numbers with what its values become; edited in place by mends.

    Attributes:
        model: no node of it makes integers that `values` and `weights` speak of.
        values: how activations become integers.
        weights: how constants do; their content is what their integers stand for.
        integers: those of each constant in `weights`.
        unrounded: those of `values` that a node reads, or the graph answers, before they are integers.
        rounded: which inputs of nodes read them behind.
        answers: those that the graph answers behind.

    """

    model: ir.Model
    values: dict[ir.Value, Affine]
    weights: dict[ir.Value, Affine]
    integers: dict[ir.Value, Array]
    unrounded: set[ir.Value] = field(default_factory=set)
    rounded: set[tuple[ir.Node, int]] = field(default_factory=set)
    answers: set[ir.Value] = field(default_factory=set)


@dataclass(frozen=True)
class _Integers:
    """What a value of integers stands for: another value, of real numbers, or a constant's integers."""

    affine: Affine
    real: ir.Value | None = None
    array: Array | None = None


def read(model: ir.Model) -> Reading:
    """Read the main graph of a model, in place; subgraphs and functions stay as they are."""
    return _Reader(model).run()


class _Reader:
    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._names = Names(model)
        self._known: dict[ir.Value, _Integers] = {}
        self._written: dict[ir.Value, ir.Value] = {}
        self._constants: dict[tuple[ir.Value | None, Affine], ir.Value] = {}
        self._reading = Reading(model, {}, {}, {})

    def run(self) -> Reading:
        for node in tuple(self._graph):
            if is_quantize(node):
                self._quantize(node)
            elif is_dequantize(node):
                self._dequantize(node)
            elif (kind := qoperator(node)) is not None:
                self._qoperator(node, kind)
            elif not self._move(node):
                self._leave(node)
        for index, value in enumerate(self._graph.outputs):
            if value in self._known:
                self._graph.outputs[index] = self._write(value)
        erase_unread([value for node in self._graph for value in node.outputs])
        for node in self._graph:
            self._put_constant_last(node)
        alive = {*self._graph.inputs, *(value for node in self._graph for value in node.outputs)}
        self._reading.values = {value: affine for value, affine in self._reading.values.items() if value in alive}
        self._reading.unrounded = {value for value in self._reading.values if self._is_read_unrounded(value)}
        return self._reading

    def _put_constant_last(self, node: ir.Node) -> None:
        """Let a sum or a product of an activation and a constant have the constant where emitters look for it."""
        if is_op(node, "Add", "Mul") and node.inputs[0] in self._reading.weights:
            constant_first, value = node.inputs
            node.replace_input_with(0, value)
            node.replace_input_with(1, constant_first)
            if (node, 1) in self._reading.rounded:
                self._reading.rounded.add((node, 0))

    def _is_read_unrounded(self, value: ir.Value) -> bool:
        affine = self._reading.values[value]
        if value.is_graph_output() and value not in self._reading.answers:
            return True
        others = [use.node for use in value.uses() if use not in self._reading.rounded]
        return not all(is_quantize(node) and parameters(node) == affine for node in others)

    def _quantize(self, node: ir.Node) -> None:
        affine, real = parameters(node), node.inputs[0]
        if affine is None or real is None:
            return
        array = constant(real)
        if array is not None:
            if array.dtype == np.float32:
                self._known[node.outputs[0]] = _Integers(affine, array=affine.quantize(array))
            return
        if self._reading.values.setdefault(real, affine) != affine:
            real = self._again(node, affine)
        self._known[node.outputs[0]] = _Integers(affine, real=real)

    def _again(self, node: ir.Node, affine: Affine) -> ir.Value:
        """Keep a second way in which a value is made integers; return what these stand for."""
        inputs = [node.outputs[0], *node.inputs[1:]]
        dequantize = ir.Node(node.domain, "DequantizeLinear", inputs, node.attributes.values(), num_outputs=1)
        (real,) = dequantize.outputs
        real.name = self._names.fresh(f"{node.outputs[0].name}_real")
        real.type, real.shape = ir.TensorType(ir.DataType.FLOAT), node.outputs[0].shape
        node.append(dequantize)
        self._written[node.outputs[0]] = node.outputs[0]
        self._reading.values[real] = affine
        return real

    def _dequantize(self, node: ir.Node) -> None:
        affine, (real,) = parameters(node), node.outputs
        if affine is not None:
            found = self._real(node.inputs[0], affine, str(real.name))
            if found is not None:
                self._replace(real, found)
                return
            self._reading.values[real] = affine
        self._leave(node)

    def _replace(self, real: ir.Value, found: ir.Value) -> None:
        """Let all read what integers stand for in place of what a DequantizeLinear makes; remember who they are."""
        self._reading.rounded.update(real.uses())
        answered, answering, before = real.is_graph_output(), found.is_graph_output(), set(found.uses())
        replace_value(real, found)
        if answered and found.is_graph_output() and not answering:
            self._reading.answers.add(found)
        elif answered:  # an Identity carries the name
            self._reading.rounded.update(set(found.uses()) - before)

    def _real(self, integers: ir.Value | None, affine: Affine, name: str) -> ir.Value | None:
        """Return the real numbers that integers stand for by these parameters, or None where that is not known."""
        known = None if integers is None else self._known.get(integers)
        if known is not None and known.real is not None:
            return known.real if known.affine == affine else None
        array = constant(integers) if known is None else known.array
        if array is None or affine.dtype != array.dtype:
            return None
        key = integers, affine
        if key not in self._constants:
            value = add_initializer(self._graph, self._names.fresh(f"{name}_constant"), affine.dequantize(array))
            self._reading.weights[value], self._reading.integers[value] = affine, array
            self._constants[key] = value
        return self._constants[key]

    def _move(self, node: ir.Node) -> bool:
        """Let a node that moves integers move what they stand for."""
        if not is_op(node, *MOVES, *_WRITES) or not any(value in self._known for value in node.inputs):
            return False
        count = len(node.inputs) if is_op(node, "Concat") else 1
        known = [self._known.get(value) if value is not None else None for value in node.inputs[:count]]
        first = known[0]
        if first is None or any(one is None or one.real is None or one.affine != first.affine for one in known):
            return False
        if not self._write_numbers(node, first.affine):
            return False
        for index, one in enumerate(known):
            node.replace_input_with(index, one.real if one else None)
            self._reading.rounded.add((node, index))
        for output in node.outputs:
            if output.name and output.dtype in {None, ir.DataType.from_numpy(first.affine.dtype)}:
                self._carry(output, first.affine)
        return True

    def _write_numbers(self, node: ir.Node, affine: Affine) -> bool:
        """Let bounds and padding be what their integers stand for; return whether they are known."""
        places = [index for index in _WRITES.get(node.op_type, ()) if _input(node, index) is not None]
        arrays = [constant(node.inputs[index]) for index in places]
        if any(array is None for array in arrays):
            return False
        if is_op(node, "Pad") and not places and affine.zero_point.any():
            return False  # it writes the integer 0, which is no zero
        for index, array in zip(places, arrays, strict=True):
            if array is not None:
                name = self._names.fresh(f"{node.outputs[0].name}_number")
                node.replace_input_with(index, add_initializer(self._graph, name, affine.dequantize(array)))
        return True

    def _carry(self, output: ir.Value, affine: Affine) -> None:
        """Make an output of integers one of real numbers; its name goes to the integers if the caller knows it."""
        integers = ir.Value(name=output.name, type=output.type, shape=output.shape)
        output.replace_all_uses_with(integers, replace_graph_outputs=True)
        output.name = self._names.fresh(f"{output.name}_real")
        output.type = ir.TensorType(ir.DataType.FLOAT)
        self._known[integers], self._reading.values[output] = _Integers(affine, real=output), affine

    def _qoperator(self, node: ir.Node, kind: QOperator) -> None:
        affines = [self._affine(node, triple, kind, index) for index, triple in enumerate(kind.operands)]
        result = self._affine(node, kind.result, kind, None)
        if result is None or any(affine is None for affine in affines):
            self._leave(node)
            return
        name = str(node.outputs[0].name)
        inputs = [
            self._operand(node, triple, affine, f"{name}_{index}")
            for index, (triple, affine) in enumerate(zip(kind.operands, affines, strict=True))
            if affine is not None
        ]
        bias = _input(node, kind.bias)
        if bias is not None and affines[0] is not None and affines[1] is not None:
            inputs.append(self._operand_of(node, bias, bias_affine(affines[0], affines[1]), f"{name}_bias"))
        kept = [node.attributes[key] for key in kind.attributes if key in node.attributes]
        made = ir.Node("", kind.op_type, inputs, kept, num_outputs=1, name=node.name)
        made.outputs[0].name = self._names.fresh(f"{name}_real")
        made.outputs[0].type, made.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), node.outputs[0].shape
        node.prepend(made)
        self._reading.rounded.update((made, index) for index in range(len(inputs)))
        self._known[node.outputs[0]] = _Integers(result, real=made.outputs[0])
        self._reading.values[made.outputs[0]] = result

    def _affine(self, node: ir.Node, triple: Triple, kind: QOperator, index: int | None) -> Affine | None:
        """Return the parameters of an operand, or of the result where there is no index."""
        held = _input(node, triple.integers) if triple.integers is not None else node.outputs[0]
        kind_of = None if held is None or held.dtype is None else np.dtype(held.dtype.numpy())
        axis = 0 if kind.op_type == "Conv" or node.attributes.get_int("transB", 0) == 1 else 1
        rank = 2 if held is None or held.shape is None else len(held.shape)
        zero = _input(node, triple.zero)
        affine = affine_from(_input(node, triple.scale), zero, kind_of, axis=axis, rank=rank)
        return affine if affine is None or affine.axis is None or index == 1 else None

    def _operand(self, node: ir.Node, triple: Triple, affine: Affine, name: str) -> ir.Value:
        value = _input(node, triple.integers)
        if value is None:
            raise ValueError(f"{node.op_type} lacks an operand")
        return self._operand_of(node, value, affine, name)

    def _operand_of(self, node: ir.Node, integers: ir.Value, affine: Affine, name: str) -> ir.Value:
        """Return the real numbers behind an operand, by a DequantizeLinear where they are unknown so far."""
        real = self._real(integers, affine, name)
        if real is None:
            held = self._write(integers) if integers in self._known else integers
            dequantize = write(self._graph, self._names, "DequantizeLinear", held, affine, self._names.fresh(name))
            node.prepend(dequantize)
            (real,) = dequantize.outputs
            self._reading.values[real] = affine
        return real

    def _leave(self, node: ir.Node) -> None:
        """Let a node that is kept read integers that are written."""
        for index, value in enumerate(node.inputs):
            if value in self._known:
                node.replace_input_with(index, self._write(value))
        if has_subgraphs(node):
            for value in tuple(self._known):
                if any(reader.graph is not self._graph for reader in value.consumers()):
                    written = self._write(value)
                    value.replace_all_uses_with(written)

    def _write(self, integers: ir.Value) -> ir.Value:
        """Return a value that holds integers, made of what they stand for; it takes their name."""
        if integers not in self._written:
            known = self._known[integers]
            name, integers.name = str(integers.name), None
            if known.real is None:
                array = known.array if known.array is not None else np.zeros(0, known.affine.dtype)
                self._written[integers] = add_initializer(self._graph, name, array)
            else:
                quantize = write(self._graph, self._names, "QuantizeLinear", known.real, known.affine, name)
                insert(quantize, self._graph)
                (self._written[integers],) = quantize.outputs
        return self._written[integers]


def _input(node: ir.Node, index: int | None) -> ir.Value | None:
    return node.inputs[index] if index is not None and index < len(node.inputs) else None
