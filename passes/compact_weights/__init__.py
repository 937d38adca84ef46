"""compact-weights: weights with many zeros or few values in fewer bytes of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.compact_weights.forms import CodeBook, Form, smallest_form
from passes.compact_weights.writer import OLDEST_OPSET, Writer


class CompactWeights(Pass):
    """Stores weights that have few different values, or one that most elements have, in fewer bytes.

    Which value an element has is written in as few bits as there are values, a mask says where the common value is not,
    and standard operators make the weight of both: bit by bit the one that it was. Runtimes do so once, when they load
    the model, and `fold-constants` undoes it. No run gets faster: what is multiplied is as large as before.

    A sparse initializer of ONNX would hold an index of 64 bits for each element that is not zero, and be larger than
    the dense one at less than two thirds of zeros. What the caller can override, what is an output, and all but
    floating-point numbers and what DequantizeLinear reads stay as they are.
    """

    name: ClassVar[str] = "compact-weights"

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Rewrite each weight whose smallest form takes fewer bytes, what names and nodes take included."""
        found = [(value, form) for value in _weights(model.graph) if (form := _form(value)) is not None]
        if found and model.opset_imports.get("", OLDEST_OPSET) < OLDEST_OPSET:
            reader = next(iter(found[0][0].consumers()))
            ctx.missed(reader, f"to expand weights takes opset {OLDEST_OPSET}; run convert-opset{{version=13}} before")
            return 0
        writer = Writer(model)
        for value, form in found:
            node = writer.replace(value, form)
            ctx.applied(node, f"stored as {_describe(form)}: {form.nbytes} bytes")
        return len(found)


def _weights(graph: ir.Graph) -> Iterator[ir.Value]:
    for value in graph.initializers.values():
        if value.uses() and not value.is_graph_input() and not value.is_graph_output() and _is_taken(value):
            yield value


def _is_taken(value: ir.Value) -> bool:
    if value.dtype is None or value.dtype.bitwidth < 8:
        return False
    if value.dtype in {ir.DataType.INT8, ir.DataType.UINT8}:
        return all(is_op(node, "DequantizeLinear") and index == 0 for node, index in value.uses())
    return value.dtype.is_floating_point()


def _form(value: ir.Value) -> Form | None:
    array = constant(value)
    return None if array is None else smallest_form(np.asarray(array), str(value.name))


def _describe(form: Form) -> str:
    if isinstance(form, CodeBook):
        return f"{form.base} values" + ("" if form.axis is None else " a slice")
    rest = f", which have {form.rest.base} values" if isinstance(form.rest, CodeBook) else ""
    return f"a mask and {int(form.mask.sum())} elements{rest}"
