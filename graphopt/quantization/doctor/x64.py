"""When onnxruntime computes in integers on x86-64: what its QDQ transformers ask, each line tried.

`tests/test_doctor_rules.py` builds a graph that breaks each rule and one that does not, and looks at what onnxruntime
makes of them; so a version that decides otherwise shows there. They hold for 1.27 to 1.32. Level 2 of its optimizations,
`ORT_ENABLE_EXTENDED`, does it; below, all stays float.
"""

from __future__ import annotations

import numpy as np

from graphopt.ir.constants import constant, is_constant
from graphopt.quantization.doctor.clamps import absorbed
from graphopt.quantization.doctor.rules import Rule, Runtime
from graphopt.quantization.doctor.site import PASSED, End, Site
from graphopt.quantization.emit.constants import bias_affine
from graphopt.quantization.obstacles import WEIGHT, weight_axis

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
PAIRS = frozenset({"Add", "Mul"})
MAPS = frozenset({"AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax"})
MOVES = PASSED | {
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "ReduceMax", "ReduceMin", "Resize", "Split", "Tile",
}  # fmt: skip
OPERATORS = PRODUCTS | PAIRS | MAPS | MOVES | {"Concat"}
_CLAMPS = frozenset({"Clip", "Relu"})
_SUMS = PRODUCTS - {"Conv"}  # whose result may stay real
_BYTES = frozenset({"int8", "uint8"})
_BIAS_TOLERANCE = {"rtol": 1e-2, "atol": 1e-6}


def _ends(site: Site) -> list[End]:
    return [end for end in (*site.operands, *site.results) if end is not None]


def _is_old(site: Site) -> bool:
    return site.opset < 12


def _interpolates(site: Site) -> bool:
    return site.node.attributes.get_string("mode", "nearest") != "nearest"


def _scales(site: Site) -> bool:
    beta = site.node.attributes.get_float("beta", 1.0) if site.bias_value is not None else 1.0
    return site.node.attributes.get_float("alpha", 1.0) != 1.0 or beta != 1.0


def _reads_floats(site: Site) -> bool:
    first = site.operands[:1] if site.node.op_type in PRODUCTS else site.operands
    return not all(first) and not _is_passed_back(site)


def _is_passed_back(site: Site) -> bool:
    """Whether a move lets the Q behind it pass, so that it moves integers without a DQ before it."""
    return site.node.op_type in PASSED and bool(site.results) and _is_plain(site.results[0])


def _has_float_weight(site: Site) -> bool:
    return site.operands[WEIGHT] is None


def _has_other_numbers(site: Site) -> bool:
    ends = [*_ends(site), *([site.bias] if site.bias else [])]
    return any(end.affine is None for end in ends)


def _is_wide(site: Site) -> bool:
    return any(end.dtype is not None and end.dtype.name not in _BYTES for end in _ends(site))


def _reads_channels(site: Site) -> bool:
    activations = site.operands[:1] if site.node.op_type in PRODUCTS else site.operands
    return any(end is not None and not _is_plain(end) for end in activations)


def _has_turned_weight(site: Site) -> bool:
    weight = site.operands[WEIGHT]
    axis = weight.affine.axis if weight is not None and weight.affine is not None else None
    return axis is not None and axis != weight_axis(site.node)


def _has_shared_signed(site: Site) -> bool:
    """Whether integers stay int8 since several read them, where a kernel takes uint8 alone, or all of one type."""
    activations = site.operands[:1] if site.node.op_type in PRODUCTS else site.operands
    ends = [end for end in (*activations, *site.results) if end is not None]
    kinds = {end.kernel_dtype for end in ends}
    signed = np.dtype(np.int8) in kinds
    if site.node.op_type in {"Conv", "MatMul"}:
        return signed
    weight = site.operands[WEIGHT] if site.node.op_type == "Gemm" else None
    return len(kinds) > 1 or (signed and weight is not None and weight.dtype != np.int8)


def _computes_bias(site: Site) -> bool:
    return site.bias_value is not None and site.bias is None and not is_constant(site.bias_value)


def _has_float_bias(site: Site) -> bool:
    """Whether a bias stays float: it becomes an int32 by itself where a Q follows, and for a scale a channel fits."""
    value = site.bias_value
    return value is not None and site.bias is None and is_constant(value) and not site.results


def _has_odd_bias(site: Site) -> bool:
    bias = site.bias
    if bias is None or bias.affine is None:
        return False
    return bias.affine.dtype != np.int32 or bool(bias.affine.zero_point.any())


def _has_other_bias_scale(site: Site) -> bool:
    ends = [end.affine if end is not None else None for end in (*site.operands, site.bias)]
    if len(ends) < 3 or any(affine is None for affine in ends):
        return False
    activation, weight, bias = ends
    if activation is None or weight is None or bias is None or activation.axis is not None:
        return False
    return not np.isclose(bias.scale, bias_affine(activation, weight).scale, **_BIAS_TOLERANCE).all()


def _keeps_clamp(site: Site) -> bool:
    if site.clamp is None or len(site.results) != 1:
        return False
    affine = site.results[0].affine
    return affine is not None and not absorbed(site.clamp, affine)


def _is_read_twice(site: Site) -> bool:
    return bool(site.results) and len(site.results) + site.readers > site.outputs


def _makes_floats(site: Site) -> bool:
    return len(site.results) < site.outputs and not (site.node.op_type in PASSED and site.operands[0] is not None)


def _makes_channels(site: Site) -> bool:
    return any(not _is_plain(end) for end in site.results)


def _changes_parameters(site: Site) -> bool:
    """Whether what moves integers is to make others, or those of a zero point that is left out."""
    ends = _ends(site)
    if not site.results or any(end is None for end in site.operands):
        return False
    affines = {end.affine for end in ends}
    return len(affines) > 1 or any(len(end.node.inputs) < 3 or end.node.inputs[2] is None for end in ends)


def _is_plain(end: End) -> bool:
    scale = constant(end.node.inputs[1])
    return scale is not None and scale.size == 1


_REORDERED = "carries the numbers of its input through it, and clamps on the integers themselves"


def _is_saturation(site: Site) -> bool:
    """Whether a Relu or Clip is gone in integers: the Q behind it saturates where it clamps."""
    return (
        site.node.op_type in _CLAMPS
        and len(site.results) == 1
        and not site.readers
        and site.results[0].affine is not None
        and absorbed(site.node, site.results[0].affine)
    )


_RULES = (
    Rule(
        "no integer kernel", lambda site: site.node.op_type not in OPERATORS, "onnxruntime has none for this operator"
    ),
    Rule("old opset", _is_old, "MaxPool takes integers since opset 12", operators=frozenset({"MaxPool"})),
    Rule(
        "interpolation", _interpolates, "only the nearest element is an integer anyway", operators=frozenset({"Resize"})
    ),
    Rule("scaled product", _scales, "QGemm knows neither alpha nor beta", operators=frozenset({"Gemm"})),
    Rule("float input", _reads_floats, "no DequantizeLinear makes what it reads"),
    Rule("float weight", _has_float_weight, "no DequantizeLinear makes its weight", operators=PRODUCTS),
    Rule(
        "foreign numbers",
        _has_other_numbers,
        "scales that are float16, computed in the run or given for blocks are none of its kernels'",
    ),
    Rule("not 8 bits", _is_wide, "its kernels take int8 and uint8"),
    Rule(
        "scales per channel",
        _reads_channels,
        "what it reads has a scale for each channel, and its kernels take one",
        "moves them into the weights before and behind, where a depthwise Conv reads it",
    ),
    Rule(
        "weight axis",
        _has_turned_weight,
        "the scales of its weight lie along another axis than its output channels",
        operators=PRODUCTS,
    ),
    Rule(
        "shared int8",
        _has_shared_signed,
        "int8 that several read stays int8, and its kernel takes uint8, or one type for all",
        "writes activations as uint8",
    ),
    Rule("computed bias", _computes_bias, "its bias is no constant", operators=PRODUCTS),
    Rule(
        "float bias",
        _has_float_bias,
        "its bias is float, and no QuantizeLinear follows",
        "rounds it to int32 of scale sx·sw",
        operators=frozenset({"Gemm"}),
    ),
    Rule(
        "odd bias",
        _has_odd_bias,
        "its bias is no int32 of zero point 0",
        "rounds it to int32 of scale sx·sw",
        operators=frozenset({"Conv", "Gemm"}),
    ),
    Rule(
        "bias scale",
        _has_other_bias_scale,
        "the scale of its bias is not sx·sw",
        "rounds it to int32 of scale sx·sw",
        operators=frozenset({"Conv"}),
    ),
    Rule(
        "bias scale",
        _has_other_bias_scale,
        "the scale of its bias is not sx·sw, and it is added as if it were",
        "rounds it to int32 of scale sx·sw",
        operators=frozenset({"Gemm"}),
        wrong=True,
    ),
    Rule(
        "clamp",
        _keeps_clamp,
        "the Relu or Clip behind it is not what saturation does",
        _REORDERED,
        operators=OPERATORS - MOVES,
    ),
    Rule("float output", _makes_floats, "no QuantizeLinear reads what it makes", operators=OPERATORS - _SUMS),
    Rule(
        "two consumers",
        _is_read_twice,
        "what it makes is read by another node too, or is an output",
        "lets all read what the integers stand for",
    ),
    Rule(
        "result per channel",
        _makes_channels,
        "its result has a scale for each channel, and its kernel takes the first",
        "moves them into the weights before and behind, where a depthwise Conv reads it",
        operators=OPERATORS - MOVES,
        wrong=True,
    ),
    Rule(
        "other parameters",
        _changes_parameters,
        "what it makes has other parameters than what it reads",
        operators=MOVES,
    ),
)

X64 = Runtime(_RULES, runs_integer_operators=True, absorbs=_is_saturation)
