"""BatchNormalization behind a Conv with quantized weights: a factor and a shift of each channel.

    γ·(Σ s·(q − z)·x + b − μ)/σ + β  =  Σ (s·f)·(q − z)·x + (b − μ)·f + β,  f = γ/σ

The integers stay, their scales take the factor; where it is negative, symmetric integers change their sign. NNCF
leaves it so when the model was not folded before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase, erase_unread
from graphopt.ir.edit import Names, add_initializer, replace_value
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import sole_reader
from graphopt.quantization.doctor.read import Reading
from graphopt.quantization.obstacles import BIAS, WEIGHT
from graphopt.tensors import Array

_EPSILON = 1e-5


def fold_normalizations(reading: Reading) -> int:
    """Fold every BatchNormalization that can go into the Conv before it; return how many."""
    names = Names(reading.model)
    return sum(_fold(node, reading, names) for node in tuple(reading.model.graph))


def _fold(node: ir.Node, reading: Reading, names: Names) -> bool:
    if not is_op(node, "BatchNormalization") or node.attributes.get_int("training_mode", 0) == 1:
        return False
    before = node.inputs[0]
    conv = before.producer() if before is not None else None
    given = [constant(value) for value in node.inputs[1:]]
    if before is None or conv is None or not is_op(conv, "Conv") or len(given) != 4 or before in reading.values:
        return False
    weight, bias = conv.inputs[WEIGHT], conv.inputs[BIAS] if len(conv.inputs) > BIAS else None
    affine = reading.weights.get(weight) if weight is not None else None
    added = np.zeros(1, np.float32) if bias is None else constant(bias)
    if (
        weight is None
        or affine is None
        or added is None
        or sole_reader(before) is not node
        or sole_reader(weight) is not conv
    ):
        return False
    gamma, beta, mean, variance = (np.zeros(1) if array is None else array.astype(np.float64) for array in given)
    factor = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", _EPSILON))
    scaled = _scaled(reading.integers[weight], affine, factor) if all(array is not None for array in given) else None
    if scaled is None:
        return False
    integers, new = scaled
    held = add_initializer(reading.model.graph, names.fresh(str(weight.name)), new.dequantize(integers))
    reading.weights[held], reading.integers[held] = new, integers
    shift = ((added.astype(np.float64) - mean) * factor + beta).astype(np.float32)
    conv.resize_inputs(BIAS + 1)
    conv.replace_input_with(WEIGHT, held)
    conv.replace_input_with(BIAS, add_initializer(reading.model.graph, names.fresh(f"{before.name}_bias"), shift))
    replace_value(node.outputs[0], before)
    _follow(reading, node.outputs[0], before)
    erase_unread([*erase(node), weight, *([] if bias is None else [bias])])
    return True


def _scaled(integers: Array, affine: Affine, factor: npt.NDArray[np.float64]) -> tuple[Array, Affine] | None:
    """Return integers and their parameters with a factor for each output channel, or None where none say so."""
    zero = np.broadcast_to(affine.zero_point, factor.shape)
    negative = factor < 0
    least, _ = affine.limits
    turned = integers[negative].astype(np.int64)
    scale = (np.broadcast_to(affine.scale, factor.shape) * np.abs(factor)).astype(np.float32)
    if affine.axis not in {None, 0} or not (scale > 0).all() or zero[negative].any() or (turned == least).any():
        return None
    signs = np.where(negative, -1, 1).reshape([-1] + [1] * (integers.ndim - 1))
    return (integers * signs.astype(integers.dtype)).astype(integers.dtype), Affine(scale, np.array(zero), 0)


def _follow(reading: Reading, old: ir.Value, new: ir.Value) -> None:
    if old in reading.values:
        reading.values[new] = reading.values.pop(old)
        reading.unrounded |= {new} if old in reading.unrounded else set()
