"""When onnxruntime computes in integers on x86-64: what its QDQ transformers ask, each line tried.

`tests/test_doctor_rules.py` builds graphs that break each rule and graphs that break none, and looks at what
onnxruntime makes of them; so a version that decides otherwise shows there. They hold for 1.31 and 1.32; 1.27 also fuses
a Gemm with alpha, or with scales along the wrong axis, and answers wrongly. Level 2 of its optimizations,
`ORT_ENABLE_EXTENDED`, does it; below, all stays float.
"""

from __future__ import annotations

import numpy as np

from graphopt.ir.constants import is_constant
from graphopt.quantization.doctor.clamps import absorbed
from graphopt.quantization.doctor.conditions import (
    activations,
    computes_bias,
    has_float_weight,
    has_foreign_numbers,
    has_large_bias,
    has_odd_bias,
    has_other_bias_scale,
    has_turned_weight,
    is_normalized,
    is_parted,
    is_plain,
    keeps_clamp,
    known,
    reads_channels,
)
from graphopt.quantization.doctor.rules import Rule, Runtime
from graphopt.quantization.doctor.site import PASSED, Site
from graphopt.quantization.obstacles import WEIGHT

_CONV, _GEMM = frozenset({"Conv"}), frozenset({"Gemm"})
_SUMS = _GEMM | {"MatMul"}  # whose result may stay float
_PRODUCTS = _CONV | _SUMS
_MAPS = frozenset({"AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax"})
_STOPS = frozenset({
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "ReduceMax", "ReduceMin", "Resize", "Split",
    "Tile",
})  # fmt: skip
"""Moves of integers that Q and DQ are not let pass."""

_MOVES = PASSED | _STOPS
_COMPUTES = _PRODUCTS | _MAPS | {"Add", "Concat", "Mul"}
_OPERATORS = _COMPUTES | _MOVES
_CLAMPS = frozenset({"Clip", "Relu"})
_BYTES = frozenset({"int8", "uint8"})
_MAX_POOL_SINCE = 12


def _interpolates(site: Site) -> bool:
    return site.node.attributes.get_string("mode", "nearest") != "nearest"


def _scales(site: Site) -> bool:
    beta = site.node.attributes.get_float("beta", 1.0) if site.bias_value is not None else 1.0
    return site.node.attributes.get_float("alpha", 1.0) != 1.0 or beta != 1.0


def _reads_floats(site: Site) -> bool:
    return not site.is_passed_back and not all(activations(site))


def _makes_floats(site: Site) -> bool:
    passed = site.node.op_type in PASSED and site.operands[0] is not None
    return not passed and len(site.results) < site.outputs


def _keeps_float_weight(site: Site) -> bool:
    return has_float_weight(site) and not _has_rounded_weight(site)


def _has_rounded_weight(site: Site) -> bool:
    """Whether onnxruntime itself makes a weight integers, of one scale, since all else is (WeightBiasQuantization)."""
    rounds = site.node.op_type in {"Conv", "Gemm"} and site.bias is None and bool(site.results)
    return rounds and has_float_weight(site) and is_constant(site.node.inputs[WEIGHT])


def _is_wide(site: Site) -> bool:
    kinds = {end.dtype for end in known([*site.operands, *site.results])}
    return any(kind is not None and kind.name not in _BYTES for kind in kinds)


def _has_shared_signed(site: Site) -> bool:
    """Whether a kernel that takes uint8, or one type for all, gets int8 too, since several read it."""
    kinds = {end.kernel_dtype for end in known([*activations(site), *site.results])} | _passing_kind(site)
    signed = np.dtype(np.int8) in kinds
    if site.node.op_type in {"Conv", "MatMul"}:
        return signed
    weight = site.operands[WEIGHT] if site.node.op_type == "Gemm" else None
    return len(kinds) > 1 or (signed and weight is not None and weight.dtype != np.int8)


def _passing_kind(site: Site) -> set[np.dtype[np.generic]]:
    """Return the type of the integers on the other side of a move that a Q or DQ of int8 passes."""
    ends = known([*activations(site), *site.results])
    if site.node.op_type not in PASSED or not ends or ends[0].dtype != np.int8:
        return set()
    if site.is_passed_back:
        return {np.dtype(np.uint8)}
    return set() if site.results else {np.dtype(np.uint8 if site.readers == 1 else np.int8)}


def _stops_at_channels(site: Site) -> bool:
    return reads_channels(site) and not _mistakes_channels(site)


def _mistakes_channels(site: Site) -> bool:
    """Whether nothing tells onnxruntime that its kernel takes one scale: a bias, or a move, would."""
    return reads_channels(site) and site.bias_value is None and site.node.op_type not in _MOVES


def _turns_weight(site: Site) -> bool:
    return has_turned_weight(site) and not _mistakes_weight(site)


def _mistakes_weight(site: Site) -> bool:
    """Whether nothing tells onnxruntime that scales lie along another axis: the scale of a bias would."""
    return site.node.op_type == "Conv" and site.bias_value is None and has_turned_weight(site)


def _has_float_bias(site: Site) -> bool:
    """Whether a bias stays float: where a Q follows, onnxruntime makes it an int32 itself."""
    value = site.bias_value
    return value is not None and site.bias is None and is_constant(value) and not site.results


def _is_read_twice(site: Site) -> bool:
    return bool(site.results) and len(site.results) + site.readers > site.outputs


def _is_rounded_twice(site: Site) -> bool:
    """Whether nothing but several QuantizeLinear that do the same read what a node makes."""
    return _is_read_twice(site) and not site.readers and len({end.affine for end in site.results}) == 1


def _makes_channels(site: Site) -> bool:
    return site.clamp is None and any(not is_plain(end) for end in site.results)


def _clamps_channels(site: Site) -> bool:
    return site.clamp is not None and any(not is_plain(end) for end in site.results)


def _changes_parameters(site: Site) -> bool:
    """Whether what moves integers is to make others, or has a zero point that is left out."""
    ends = known([*site.operands, *site.results])
    if site.is_passed_back or not site.results or not all(site.operands):
        return False
    left_out = any(len(end.node.inputs) < 3 or end.node.inputs[2] is None for end in ends)
    return left_out or len({end.kernel_affine for end in ends}) > 1


def _saturates(site: Site) -> bool:
    """Whether a Relu or Clip is gone in integers: the Q behind it saturates where it clamps."""
    affine = site.results[0].affine if len(site.results) == 1 and not site.readers else None
    return site.node.op_type in _CLAMPS and affine is not None and absorbed(site.node, affine)


_THROUGH = "carries the same numbers through"
_TO_WEIGHTS = "moves them into the weights around it, where it is between a Conv and a depthwise one"
_ROUND_BIAS = "rounds it to int32 of scale sx·sw"
_ON_INTEGERS = "clamps the integers themselves"
_ONE_SCALE = "its result has a scale for each channel, and its kernel takes one"

_RULES = (
    Rule("clamp", lambda _: True, "no integer kernel clamps", _ON_INTEGERS, _CLAMPS),
    Rule("pad", lambda _: True, "no integer kernel pads", "pads the integers themselves", frozenset({"Pad"})),
    Rule("normalization", lambda _: True, "it computes in float", "folds it into the scales of the Conv before",
         frozenset({"BatchNormalization"})),
    Rule("no integer kernel", lambda site: site.node.op_type not in _OPERATORS, "there is none for this operator"),
    Rule("old opset", lambda site: site.opset < _MAX_POOL_SINCE, "it moves integers since opset 12",
         "writes opset 13",
         operators=frozenset({"MaxPool"})),
    Rule("interpolation", _interpolates, "it makes numbers between two integers", operators=frozenset({"Resize"})),
    Rule("scaled product", _scales, "QGemm knows neither alpha nor beta", operators=_GEMM),
    Rule("normalization", is_normalized, "a BatchNormalization stands between it and integers",
         "folds it into the scales of the weight", _CONV),
    Rule("parted", is_parted, "Q and DQ are not let pass what moves elements beside it", _THROUGH, _OPERATORS),
    Rule("float input", _reads_floats, "no DequantizeLinear makes what it reads"),
    Rule("float output", _makes_floats, "no QuantizeLinear reads what it makes", operators=_COMPUTES - _SUMS),
    Rule("float output", _makes_floats, "no QuantizeLinear reads what it makes", _THROUGH, _MOVES),
    Rule("float weight", _keeps_float_weight, "no DequantizeLinear makes its weight", operators=_PRODUCTS),
    Rule("foreign numbers", has_foreign_numbers, "scales are float16, computed in the run or given for blocks"),
    Rule("not 8 bits", _is_wide, "its kernel takes int8 and uint8"),
    Rule("scales per channel", _stops_at_channels, "its input has one a channel, its kernel takes one", _TO_WEIGHTS),
    Rule("weight axis", _turns_weight, "the scales of its weight are not those of output channels",
         operators=_PRODUCTS),
    Rule("shared int8", _has_shared_signed, "int8 that several read stays so, and its kernel takes uint8, or one type",
         "writes activations as uint8"),
    Rule("computed bias", computes_bias, "its bias is no constant", operators=_CONV | _GEMM),
    Rule("float bias", _has_float_bias, "its bias is float, and no QuantizeLinear follows", _ROUND_BIAS, _GEMM),
    Rule("odd bias", has_odd_bias, "its bias is no int32 of zero point 0", _ROUND_BIAS, _CONV | _GEMM),
    Rule("bias scale", has_other_bias_scale, "the scale of its bias is not sx·sw", _ROUND_BIAS, _CONV),
    Rule("kept clamp", keeps_clamp, "the Relu or Clip behind it is more than saturation", _ON_INTEGERS, _COMPUTES),
    Rule("rounded twice", _is_rounded_twice, "two QuantizeLinear of equal parameters read it", "joins them"),
    Rule("two consumers", _is_read_twice, "what it makes is also read before it is rounded, or is an output"),
    Rule("result per channel", _clamps_channels, _ONE_SCALE, _TO_WEIGHTS, _COMPUTES),
    Rule("other parameters", _changes_parameters, "its result has other parameters, or no zero point is written",
         operators=_MOVES),
    Rule("scales per channel", _mistakes_channels, "its input has one a channel, its kernel refuses or takes the first",
         _TO_WEIGHTS, wrong=True),
    Rule("rounded weight", _has_rounded_weight, "its float weight is rounded to int8 of one scale",
         operators=_PRODUCTS, wrong=True),
    Rule("weight axis", _mistakes_weight, "the scales of its weight are taken for those of output channels",
         operators=_CONV, wrong=True),
    Rule("bias scale", has_other_bias_scale, "the scale of its bias is taken for sx·sw, which it is not", _ROUND_BIAS,
         _GEMM, wrong=True),
    Rule("large bias", has_large_bias, "its bias does not fit an int32 of scale sx·sw", "raises a scale of its weight",
         _CONV | _GEMM, wrong=True),
    Rule("result per channel", _makes_channels, f"{_ONE_SCALE}, the first", _TO_WEIGHTS, _COMPUTES, wrong=True),
)  # fmt: skip

X64 = Runtime(_RULES, runs_integer_operators=True, absorbs=_saturates)
