"""When TensorRT computes in integers: what its developer guide asks of networks with Q and DQ (version 10).

"Working with quantized types", explicit quantization: int8 alone, zero points of 0, one scale for an activation and one
for the whole or each output channel of a weight, a float bias. A layer computes in integers where what it reads comes
from a DequantizeLinear; what it makes may stay float.
"""

from __future__ import annotations

import numpy as np

from graphopt.quantization.doctor.conditions import (
    activations,
    has_float_weight,
    has_foreign_numbers,
    has_turned_weight,
    known,
    reads_channels,
)
from graphopt.quantization.doctor.qoperators import computes_in_integers
from graphopt.quantization.doctor.rules import Rule, Runtime
from graphopt.quantization.doctor.site import Site
from graphopt.quantization.forms import FORMS
from graphopt.quantization.obstacles import clamp_of

_FORM = FORMS["tensorrt"]


def _reads_floats(site: Site) -> bool:
    """Whether nothing that it reads is made of integers; a sum may have its other operand in an accumulator."""
    return not known(activations(site))


def _is_not_int8(site: Site) -> bool:
    return any(end.dtype != np.int8 for end in known(site.operands))


def _is_shifted(site: Site) -> bool:
    affines = [end.affine for end in known(site.operands)]
    return any(affine is not None and affine.dtype == np.int8 and bool(affine.zero_point.any()) for affine in affines)


_RULES = (
    Rule("integer operator", lambda site: computes_in_integers(site.node), "it reads Q and DQ alone",
         "writes it with QuantizeLinear and DequantizeLinear"),
    Rule("no integer kernel", lambda site: site.node.op_type not in _FORM.operators, "there is none for this operator"),
    Rule("float input", _reads_floats, "no DequantizeLinear makes what it reads"),
    Rule("float weight", has_float_weight, "no DequantizeLinear makes its weight", operators=_FORM.products),
    Rule("foreign numbers", has_foreign_numbers, "scales are computed in the run, or not float32"),
    Rule("not int8", _is_not_int8, "it takes int8 alone", "writes uint8 of zero point 128 as int8"),
    Rule("zero point", _is_shifted, "it takes zero points of 0 alone"),
    Rule("scales per channel", reads_channels, "its input has a scale for each channel, and it takes one",
         "moves them into the weights around it, where it is between a Conv and a depthwise one"),
    Rule("weight axis", has_turned_weight, "the scales of its weight are not those of output channels",
         operators=_FORM.products),
    Rule("int32 bias", lambda site: site.bias is not None, "it takes a float bias alone", "writes it as float"),
)  # fmt: skip

TENSORRT = Runtime(_RULES, runs_integer_operators=False, absorbs=lambda site: clamp_of(site.node) is not None)
