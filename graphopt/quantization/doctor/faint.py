"""Biases that an int32 of scale sx·sw does not hold: of output channels with next to no weights.

Such a channel gets the least scale that its bias fits, and its weights integers on that: they are off by half a step,
or |b|·2⁻³¹ a product of full size, which float32 hardly keeps beside b itself. ModelOpt writes such scales.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import sole_reader
from graphopt.quantization.doctor.conditions import overflows
from graphopt.quantization.doctor.read import Reading
from graphopt.quantization.obstacles import BIAS, WEIGHT, weight_axis

_STEPS = 2.0**30
"""What the largest bias becomes: half of what an int32 holds, so that no rounding of scales matters."""


def raise_faint_scales(reading: Reading) -> int:
    """Let every bias fit; return in how many nodes some did not."""
    names = Names(reading.model)
    return sum(_raise(node, reading, names) for node in tuple(reading.model.graph) if is_op(node, "Conv", "Gemm"))


def _raise(node: ir.Node, reading: Reading, names: Names) -> bool:
    read, weight, bias = node.inputs[0], node.inputs[WEIGHT], node.inputs[BIAS] if len(node.inputs) > BIAS else None
    array, axis = constant(bias), weight_axis(node)
    activation = reading.values.get(read) if read is not None else None
    affine = reading.weights.get(weight) if weight is not None else None
    if weight is None or array is None or activation is None or affine is None or affine.axis not in {None, axis}:
        return False
    if not overflows(array, activation, affine) or sole_reader(weight) is not node:
        return False
    least = np.abs(array.astype(np.float64).reshape(-1)) / (float(activation.scale) * _STEPS)
    scale = np.maximum(affine.scale, least).astype(np.float32)
    new = Affine(scale, np.array(np.broadcast_to(affine.zero_point, scale.shape)), axis)
    integers = new.quantize(affine.dequantize(reading.integers[weight]))
    held = add_initializer(reading.model.graph, names.fresh(str(weight.name)), new.dequantize(integers))
    reading.weights[held], reading.integers[held] = new, integers
    node.replace_input_with(WEIGHT, held)
    erase_unread([weight])
    return True
