"""From a reading to the plan that an emitter writes: which nodes compute in integers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import is_standard
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import absorbed, sole_reader
from graphopt.quantization.doctor.conditions import overflows
from graphopt.quantization.doctor.read import Reading
from graphopt.quantization.doctor.site import MOVES, data_inputs
from graphopt.quantization.forms import Form
from graphopt.quantization.obstacles import BIAS, clamp_of
from graphopt.quantization.plan import Plan

_MAPS = frozenset({"Softmax"})
"""Operators whose integers a source may have chosen, though a selection of ours does not."""


def nodes_in_integers(reading: Reading, form: Form) -> frozenset[ir.Node]:
    """Return the nodes that stand between integers, of operators that a form takes."""
    return frozenset(node for node in reading.model.graph if _computes(node, reading, form))


def plan_of(reading: Reading, nodes: Iterable[ir.Node]) -> Plan:
    """Return the plan that lets these nodes compute in integers with the numbers of a reading."""
    kept = {value: affine for value, affine in reading.weights.items() if value.uses()}
    weights = {value: affine for value, affine in kept.items() if affine.dtype != np.int32}  # emitters make biases anew
    return Plan(
        values={str(value.name): affine for value, affine in reading.values.items()},
        weights={str(value.name): affine for value, affine in weights.items()},
        integers={str(value.name): reading.integers[value] for value in weights},
        nodes=frozenset(str(node.outputs[0].name) for node in nodes),
    )


def _computes(node: ir.Node, reading: Reading, form: Form) -> bool:
    if not is_standard(node) or not node.outputs or _touches_unrounded(node, reading) or _makes_channels(node, reading):
        return False
    inputs = [_affine(value, reading) for value in data_inputs(node)]
    outputs = [reading.values.get(value) for value in node.outputs if value.name]
    if clamp_of(node) is not None:
        return _clamps(node, inputs, outputs)
    if node.op_type in MOVES | {"Pad"} and not is_op(node, "Concat"):  # which may read and make different numbers
        return None not in inputs and len({*inputs, *outputs}) == 1
    if node.op_type not in form.operators | _MAPS:
        return False
    if is_op(node, "Gemm", "MatMul") and inputs[0] is None and inputs[1] is not None:
        return True  # weights of integers under floats, which kernels may take as they are (MatMulNBits)
    if form.residual_only:  # what stands in front of a layer decides, and one branch of a sum is enough
        return None not in inputs or (node.op_type in form.pairs and any(inputs))
    if None in inputs or (node.op_type in form.products and _has_large_bias(node, inputs)):
        return False
    return None not in outputs or node.op_type in form.float_results


def _has_large_bias(node: ir.Node, inputs: list[Affine | None]) -> bool:
    activation, weight, *_ = inputs
    return overflows(constant(node.inputs[BIAS]) if len(node.inputs) > BIAS else None, activation, weight)


def _touches_unrounded(node: ir.Node, reading: Reading) -> bool:
    """Whether another node needs what this one makes before it is rounded, or this one what it reads."""
    if any(value in reading.unrounded for value in node.outputs):
        return True
    read = [(node, index) for index, value in enumerate(node.inputs) if value in reading.unrounded]
    return not reading.rounded.issuperset(read)


def _makes_channels(node: ir.Node, reading: Reading) -> bool:
    """Whether what a node makes has a scale for each channel, which no kernel writes."""
    affines = [reading.values.get(value) for value in node.outputs]
    return any(affine is not None and affine.axis is not None for affine in affines)


def _clamps(node: ir.Node, inputs: list[Affine | None], outputs: list[Affine | None]) -> bool:
    """Whether a Relu or Clip is what saturation does anyway, or clamps integers."""
    affine, before = outputs[0], node.inputs[0]
    if affine is None or before is None or inputs[0] is not None:
        return affine is not None and inputs[0] == affine
    return before.producer() is not None and sole_reader(before) is node and absorbed(node, affine)


def _affine(value: ir.Value | None, reading: Reading) -> Affine | None:
    """Return how an input becomes integers; an activation with a scale for each channel is none to any kernel."""
    if value is None:
        return None
    found = reading.values.get(value)
    return reading.weights.get(value) if found is None else found if found.axis is None else None
