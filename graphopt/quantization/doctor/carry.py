"""Parameters that follow exactly: what moves elements, or clamps them, leaves integers on the same scale.

    Conv ── MaxPool ── Quantize(s, z)    →    Conv ── Quantize(s, z) ── MaxPool
    Conv ── Clip ───── Quantize(s, z)    →    Conv ── Quantize(s, z) ── Clip

since rounding is monotonic, and equal for equal numbers.
"""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import absorbed, sole_reader
from graphopt.quantization.doctor.read import Reading
from graphopt.quantization.doctor.site import MOVES
from graphopt.quantization.forms import FORMS
from graphopt.quantization.obstacles import activations, clamp_of, obstacle

_FORM = FORMS["graphopt"]


def carry_parameters(reading: Reading) -> int:
    """Give parameters to values that only a move or a kept clamp parts from one that has them; return how many."""
    before = len(reading.values)
    nodes = list(reading.model.graph)
    for node in reversed(nodes):
        _back(node, reading)
    for node in nodes:
        _forth(node, reading)
    return len(reading.values) - before


def _back(node: ir.Node, reading: Reading) -> None:
    affine = reading.values.get(node.outputs[0]) if node.outputs else None
    clamps = clamp_of(node) is not None
    if (
        affine is None
        or node.outputs[0] in reading.unrounded
        or (clamps and absorbed(node, affine))
        or not (clamps or _is_move(node, affine))
    ):
        return
    for value in _read_by(node):
        if sole_reader(value) is node:
            reading.values.setdefault(value, affine)


def _forth(node: ir.Node, reading: Reading) -> None:
    inputs = _read_by(node) if node.outputs else []
    affines = {reading.values.get(value) for value in inputs}
    affine = affines.pop() if len(affines) == 1 and not reading.unrounded.intersection(inputs) else None
    if affine is not None and _is_move(node, affine):
        for output in node.outputs:
            if output.name and output.dtype is ir.DataType.FLOAT:
                reading.values.setdefault(output, affine)


def _is_move(node: ir.Node, affine: Affine) -> bool:
    moves = node.op_type in MOVES | {"Pad"}
    return affine.axis is None and moves and (node.op_type not in _FORM.moves or obstacle(node, _FORM) is None)


def _read_by(node: ir.Node) -> list[ir.Value]:
    if is_op(node, "Relu", "Clip"):
        return [value for value in node.inputs[:1] if value is not None]
    return [value for _, value in activations(node)]
