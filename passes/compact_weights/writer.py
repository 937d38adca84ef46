"""A form as nodes that make the tensor again, in operators of opset 11.

Codes come out of bytes by a table of the digits of each byte, which all weights of one base share:

    codes    = Cast(Reshape(Gather(digits, Cast(bytes)), [-1]))     and a Slice where the last byte is not full
    by code  : weight = Reshape(Gather(values, codes), shape)
    masked   : weight = Reshape(Gather([background, *rest], CumSum(mask) · mask), shape)
    both     : weight = Reshape(Gather([background, *values], (Gather(codes, CumSum(mask) - 1) + 1) · mask), shape)

Counting starts at -1 before the first masked element, which is the last code: any will do, times 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.expansion import mark_expansion
from graphopt.tensors import Array
from passes.compact_weights.forms import CodeBook, Form, Masked
from passes.compact_weights.packing import Codes, digit_table, digits_in_a_byte, pack

OLDEST_OPSET = 11
"""That of CumSum and GatherElements."""


class Writer:
    """Writes weights of one model; what several of them need is written once."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._names = Names(model)
        self._shared: dict[str, ir.Value] = {}
        self._nodes: list[ir.Node] = []
        self._weight = ""

    def replace(self, weight: ir.Value, form: Form) -> ir.Node:
        """Let nodes make a weight that was an initializer, under its name; return the last of them."""
        self._weight, self._nodes = str(weight.name), []
        shape = np.array(weight.shape.numpy() if weight.shape is not None else (), np.int64)
        flat = self._by_code(form) if isinstance(form, CodeBook) else self._masked(form)
        made = self._node("Reshape", [flat, self._constant("shape", shape)])
        made.type, made.shape = weight.type, weight.shape
        del self._graph.initializers[self._weight]
        weight.replace_all_uses_with(made)
        weight.name, made.name = None, self._weight
        self._graph.insert_before(self._graph[0], self._nodes)
        return self._nodes[-1]

    def _by_code(self, book: CodeBook) -> ir.Value:
        codes = self._codes("codes", book.codes.ravel() if book.axis != 1 else book.codes.T.ravel(), book.base)
        if book.axis is None:
            return self._node("Gather", [self._constant("values", book.values), codes])
        values = book.values if book.axis == 0 else book.values.T
        sizes = np.array([book.codes.shape[0], -1] if book.axis == 0 else [-1, book.codes.shape[0]], np.int64)
        arranged = self._node("Reshape", [codes, self._constant("slices", sizes)])
        return self._node("GatherElements", [self._constant("values", values), arranged], axis=1 - book.axis)

    def _masked(self, form: Masked) -> ir.Value:
        mask = self._codes("mask", form.mask, 2)
        counted = self._node("CumSum", [mask, self._once("axis_0", np.array(0, np.int64))])
        if not isinstance(form.rest, CodeBook):
            place = self._node("Mul", [counted, mask])
            return self._node("Gather", [self._values(form.background, form.rest), place])
        one = self._once("one", np.array(1, np.int32))
        codes = self._codes("codes", form.rest.codes, form.rest.base)
        code = self._node("Gather", [codes, self._node("Sub", [counted, one])])
        place = self._node("Mul", [self._node("Add", [code, one]), mask])
        return self._node("Gather", [self._values(form.background, form.rest.values), place])

    def _values(self, background: Array, others: Array) -> ir.Value:
        return self._constant("values", np.concatenate([background, others]))

    def _codes(self, what: str, codes: Codes, base: int) -> ir.Value:
        """Return the codes as int32, [elements]."""
        width = digits_in_a_byte(base)
        packed = self._constant(what, pack(codes, base))
        number = self._node("Cast", [packed], to=ir.DataType.INT32.value)
        if width == 1:
            return number
        digits = self._node("Gather", [self._once(f"digits_of_base_{base}", digit_table(base)), number])
        flat = self._node("Reshape", [digits, self._once("flat", np.array([-1], np.int64))])
        if codes.size % width:
            start, stop = self._once("start", np.array([0], np.int64)), np.array([codes.size], np.int64)
            flat = self._node("Slice", [flat, start, self._constant(f"{what}_count", stop)])
        return self._node("Cast", [flat], to=ir.DataType.INT32.value)

    def _node(self, op_type: str, inputs: Sequence[ir.Value], **attributes: int) -> ir.Value:
        node = ir.node(op_type, inputs, attributes)
        mark_expansion(node, self._weight)
        node.outputs[0].name = self._names.fresh(f"{self._weight}_{op_type.lower()}")
        self._nodes.append(node)
        return node.outputs[0]

    def _constant(self, what: str, array: Array) -> ir.Value:
        return add_initializer(self._graph, self._names.fresh(f"{self._weight}_{what}"), array)

    def _once(self, name: str, array: Array) -> ir.Value:
        if name not in self._shared:
            self._shared[name] = add_initializer(self._graph, self._names.fresh(f"compact_{name}"), array)
        return self._shared[name]
