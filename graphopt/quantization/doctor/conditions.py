"""What rules of several targets ask about a node and its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant, is_constant
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import absorbed, sole_reader
from graphopt.quantization.doctor.quantizers import is_dequantize, is_quantize
from graphopt.quantization.doctor.site import MOVES, PASSED, End, Site, data_inputs
from graphopt.quantization.emit.constants import bias_affine
from graphopt.quantization.obstacles import WEIGHT, weight_axis
from graphopt.tensors import Array

_LARGEST = 2.0**31 - 2.0**8  # the largest int32, and what float32 loses of it
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_RELATIVE, _ABSOLUTE = 1e-2, 1e-6  # onnxruntime's, for a scale that was computed otherwise


def activations(site: Site) -> list[End | None]:
    """Return the ends before a node, that of a weight aside."""
    return site.operands[:1] if site.node.op_type in PRODUCTS else site.operands


def known(ends: list[End | None]) -> list[End]:
    """Return the ends that there are."""
    return [end for end in ends if end is not None]


def is_plain(end: End) -> bool:
    """Whether there is one constant scale for all."""
    scale = constant(end.node.inputs[1])
    return scale is not None and scale.size == 1


def has_float_weight(site: Site) -> bool:
    """Whether a product multiplies with real numbers."""
    return len(site.operands) > WEIGHT and site.operands[WEIGHT] is None


def has_foreign_numbers(site: Site) -> bool:
    """Whether scales are no float32 constants for a tensor or its channels."""
    return any(end.affine is None for end in known([*site.operands, site.bias, *site.results]))


def reads_channels(site: Site) -> bool:
    """Whether an activation has a scale for each channel."""
    return any(not is_plain(end) for end in known(activations(site)))


def has_turned_weight(site: Site) -> bool:
    """Whether the scales of a weight lie along another axis than its output channels."""
    weight = site.operands[WEIGHT] if len(site.operands) > WEIGHT else None
    axis = weight.affine.axis if weight is not None and weight.affine is not None else None
    return axis is not None and axis != weight_axis(site.node)


def computes_bias(site: Site) -> bool:
    """Whether a bias is no constant."""
    return site.bias_value is not None and site.bias is None and not is_constant(site.bias_value)


def has_odd_bias(site: Site) -> bool:
    """Whether a quantized bias is anything but int32 around 0."""
    affine = site.bias.affine if site.bias is not None else None
    return affine is not None and (affine.dtype != np.int32 or bool(affine.zero_point.any()))


def has_other_bias_scale(site: Site) -> bool:
    """Whether the scale of a quantized bias is not the product of those of activation and weight."""
    ends = [end.affine if end is not None else None for end in (*site.operands, site.bias)]
    activation, weight, bias = ends if len(ends) == 3 else (None, None, None)
    if activation is None or weight is None or bias is None or activation.axis is not None:
        return False
    return not np.isclose(bias.scale, bias_affine(activation, weight).scale, _RELATIVE, _ABSOLUTE).all()


def overflows(bias: Array | None, activation: Affine | None, weight: Affine | None) -> bool:
    """Whether a bias is too large for an int32 of scale sx·sw, as where a channel has next to no weights."""
    if bias is None or activation is None or weight is None or activation.axis is not None:
        return False
    steps = bias.astype(np.float64).reshape(-1) / bias_affine(activation, weight).scale
    return bool((np.abs(steps) > _LARGEST).any())


def has_large_bias(site: Site) -> bool:
    """Whether a float bias does not fit where the sums that it is added to are integers."""
    if site.bias is not None or not all(site.operands) or not site.results:
        return False
    activation, weight = (end.affine if end is not None else None for end in site.operands[:2])
    return overflows(constant(site.bias_value), activation, weight)


def keeps_clamp(site: Site) -> bool:
    """Whether the Relu or Clip behind a node changes what saturation leaves."""
    affine = site.results[0].affine if site.clamp is not None and len(site.results) == 1 else None
    return affine is not None and site.clamp is not None and not absorbed(site.clamp, affine)


def is_normalized(site: Site) -> bool:
    """Whether a BatchNormalization alone reads what a node makes."""
    reader = sole_reader(site.node.outputs[0])
    return reader is not None and is_op(reader, "BatchNormalization")


def is_parted(site: Site) -> bool:
    """Whether a move lies between a node and the DQ before it, or the Q behind it, that should pass it."""
    floats = [value for value, end in zip(data_inputs(site.node), site.operands, strict=True) if end is None]
    before = [] if site.is_passed_back else floats
    closed = site.results or (site.node.op_type in PASSED and site.operands[0])
    behind = [] if closed else [site.node.outputs[0]]
    return any(map(_comes_from_integers, before)) or any(map(_goes_to_integers, behind))


def _comes_from_integers(value: ir.Value | None) -> bool:
    producer = value.producer() if value is not None else None
    return producer is not None and is_op(producer, *MOVES) and any(map(is_dequantize, _origins(producer)))


def _origins(node: ir.Node) -> Iterator[ir.Node | None]:
    """Yield what makes the values that a node moves, behind further moves."""
    for value in data_inputs(node):
        producer = value.producer() if value is not None else None
        if producer is not None and is_op(producer, *MOVES):
            yield from _origins(producer)
        else:
            yield producer


def _goes_to_integers(value: ir.Value) -> bool:
    reader = sole_reader(value)
    while reader is not None and is_op(reader, *MOVES):
        value = reader.outputs[0]
        reader = sole_reader(value)
    return is_quantize(reader)
