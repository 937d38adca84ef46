"""When TensorRT computes in integers: what its developer guide asks of networks with Q and DQ (version 10).

"Working with quantized types", explicit quantization: int8 alone, zero points of 0, scales for the whole of an activation
and for the whole or each output channel of a weight, a float bias. A layer computes in integers where what it reads comes
from a DequantizeLinear; what it makes may stay float.
"""

from __future__ import annotations

import numpy as np

from graphopt.ir.constants import constant
from graphopt.quantization.doctor.qoperators import computes_in_integers
from graphopt.quantization.doctor.rules import Rule, Runtime
from graphopt.quantization.doctor.site import End, Site
from graphopt.quantization.forms import FORMS
from graphopt.quantization.obstacles import WEIGHT, clamp_of, weight_axis

_FORM = FORMS["tensorrt"]


def _activations(site: Site) -> list[End]:
    ends = site.operands[:1] if site.node.op_type in _FORM.products else site.operands
    return [end for end in ends if end is not None]


def _reads_floats(site: Site) -> bool:
    """Whether nothing that it reads is made of integers; a sum may have its other operand in an accumulator."""
    return not _activations(site)


def _has_foreign_numbers(site: Site) -> bool:
    return any(end is not None and end.affine is None for end in site.operands)


def _is_not_int8(site: Site) -> bool:
    return any(end is not None and end.dtype != np.int8 for end in site.operands)


def _is_shifted(site: Site) -> bool:
    affines = [end.affine for end in site.operands if end is not None]
    return any(affine is not None and bool(affine.zero_point.any()) for affine in affines)


def _reads_channels(site: Site) -> bool:
    scales = [constant(end.node.inputs[1]) for end in _activations(site)]
    return any(scale is not None and scale.size > 1 for scale in scales)


def _has_float_weight(site: Site) -> bool:
    return site.operands[WEIGHT] is None


def _has_turned_weight(site: Site) -> bool:
    weight = site.operands[WEIGHT]
    axis = weight.affine.axis if weight is not None and weight.affine is not None else None
    return axis is not None and axis != weight_axis(site.node)


_RULES = (
    Rule(
        "integer operator",
        lambda site: computes_in_integers(site.node),
        "TensorRT reads QuantizeLinear and DequantizeLinear alone",
        "writes it as QuantizeLinear and DequantizeLinear",
    ),
    Rule(
        "no integer kernel",
        lambda site: site.node.op_type not in _FORM.operators,
        "TensorRT has none for this operator",
    ),
    Rule("float input", _reads_floats, "no DequantizeLinear makes what it reads"),
    Rule("float weight", _has_float_weight, "no DequantizeLinear makes its weight", operators=_FORM.products),
    Rule("foreign numbers", _has_foreign_numbers, "scales that a run computes, or of float16, are none of its own"),
    Rule(
        "not int8",
        _is_not_int8,
        "it takes int8 alone",
        "writes uint8 of zero point 128 as int8, and leaves the rest float",
    ),
    Rule("zero point", _is_shifted, "it takes zero points of 0 alone", "leaves what has another one float"),
    Rule(
        "scales per channel",
        _reads_channels,
        "what it reads has a scale for each channel, and it takes one",
        "moves them into the weights before and behind, where a depthwise Conv reads it",
    ),
    Rule(
        "weight axis",
        _has_turned_weight,
        "the scales of its weight lie along another axis than its output channels",
        operators=_FORM.products,
    ),
    Rule("int32 bias", lambda site: site.bias is not None, "it takes a float bias alone", "writes it as float"),
)

TENSORRT = Runtime(_RULES, runs_integer_operators=False, absorbs=lambda site: clamp_of(site.node) is not None)
