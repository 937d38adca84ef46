"""A network in the slow forms of `tests.slow_forms`, from a plan of ours for it: the same placement at full size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine, affine_of
from graphopt.quantization.doctor.quantizers import insert, write
from graphopt.quantization.plan import Plan

_S8 = np.dtype(np.int8)


@dataclass(frozen=True)
class Form:
    """How a tool writes.

    Attributes:
        activation: its parameters for an activation that we gave some.
        operands: how many operands of a sum it quantizes.
        by_channel: whether depthwise convolutions read a scale for each channel.
        small: whether weights have one scale, and biases eight bits.

    """

    activation: Callable[[Affine], Affine]
    operands: int
    by_channel: bool = False
    small: bool = False


def around_zero(affine: Affine, *, power_of_two: bool = False) -> Affine:
    """Return int8 with zero in the middle, as wide as the given integers."""
    lower, upper = affine.interval()
    return affine_of(lower, upper, _S8, symmetric=True, power_of_two=power_of_two)


FORMS = {
    "nncf": Form(lambda affine: around_zero(affine) if affine.zero_point.any() else affine, 2, by_channel=True),
    "modelopt": Form(around_zero, 1),
    "quark": Form(lambda affine: around_zero(affine, power_of_two=True), 2, small=True),
}


def write_slowly(model: ir.Model, plan: Plan, form: Form) -> None:
    """Put Q and DQ where a tool does, in place: before convolutions, products, pools and operands of sums."""
    graph, names = model.graph, Names(model)
    for value in [*graph.inputs, *(value for node in graph for value in node.outputs)]:
        affine = plan.values.get(str(value.name))
        uses = [(node, index) for node, index in value.uses() if _reads(node, index, form)]
        if affine is None or not uses:
            continue
        deep = form.by_channel and all(_is_depthwise(node) for node, _ in uses)
        shown = form.activation(affine)
        held = _spread(shown, uses[0][0]) if deep else shown
        rounded = _round(graph, names, value, held)
        for node, index in uses:
            node.replace_input_with(index, rounded)
    for node in tuple(graph):
        if is_op(node, "Conv", "Gemm") and node.inputs[1] is not None and node.inputs[1].name in plan.weights:
            _write_constants(node, graph, names, plan, form)


def _reads(node: ir.Node, index: int, form: Form) -> bool:
    return is_op(node, "Conv", "Gemm", "GlobalAveragePool") or (is_op(node, "Add") and index < form.operands)


def _is_depthwise(node: ir.Node) -> bool:
    return is_op(node, "Conv") and node.attributes.get_int("group", 1) > 1


def _spread(affine: Affine, reader: ir.Node) -> Affine:
    """Give each channel a scale of its own, from 0.6 times the given one on."""
    count = reader.attributes.get_int("group", 1)
    scale = (affine.scale * np.linspace(0.6, 1, count)).astype(np.float32)
    return Affine(scale, np.full(count, affine.zero_point), 1)


def _round(graph: ir.Graph, names: Names, value: ir.Value, affine: Affine) -> ir.Value:
    quantize = write(graph, names, "QuantizeLinear", value, affine, names.fresh(f"{value.name}_q"))
    insert(quantize, graph)
    dequantize = write(graph, names, "DequantizeLinear", quantize.outputs[0], affine, names.fresh(f"{value.name}_dq"))
    insert(dequantize, graph)
    return dequantize.outputs[0]


def _write_constants(node: ir.Node, graph: ir.Graph, names: Names, plan: Plan, form: Form) -> None:
    for index in (1, 2) if form.small else (1,):
        value = node.inputs[index]
        array = constant(value)
        if value is None or array is None:
            continue
        peak = float(np.abs(array.astype(np.float64)).max())
        small = affine_of(-peak, peak, _S8, symmetric=True, power_of_two=True)
        affine = small if form.small else plan.weights[str(value.name)]
        held = add_initializer(graph, names.fresh(f"{value.name}_integers"), affine.quantize(array))
        dequantize = write(graph, names, "DequantizeLinear", held, affine, names.fresh(f"{value.name}_dq"))
        node.prepend(dequantize)
        node.replace_input_with(index, dequantize.outputs[0])
