"""The tables: by operator, why its result is no batch of samples, or None where it is one.

Each rule holds for every opset from 7 on, and is asked where at least one input is samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from graphopt.ir.batchwise import integers, movement, products
from graphopt.ir.batchwise.operands import ALONG, UNKNOWN, data, lines_up, off_batch, pointwise, softmax
from graphopt.ir.batchwise.site import Kind, Site
from graphopt.ir.traits import is_standard

Rule = Callable[[Site], str | None]

_POINTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Celu Clip
Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN
LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid
Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
""".split()
_BY_SAMPLE = """
AveragePool Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization
InstanceNormalization LRN LpPool SpaceToDepth
""".split()
_REDUCTIONS = """
ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
""".split()


def rule_of(node: ir.Node) -> Rule | None:
    """Return the rule for a node, None where there is none."""
    if is_standard(node):
        return RULES.get(node.op_type)
    return integers.MICROSOFT_RULES.get(node.op_type) if node.domain == integers.MICROSOFT else None


def _reduction(site: Site) -> str | None:
    """Check the axes; all by default."""
    axes = site.axes(1)
    return data(site) or ("reduces axes that are not known, or all" if not axes else ALONG if 0 in axes else None)


def _first_axis(site: Site) -> str | None:
    return data(site) or off_batch(site.axis(0))


def _last_axis(site: Site) -> str | None:
    return data(site) or off_batch(site.axis(-1))


def _layer_normalization(site: Site) -> str | None:
    """Check that the axes from `axis` on, over which it normalizes, leave the batch alone."""
    rank = site.rank()
    if rank is None:
        return UNKNOWN
    return _last_axis(site) or lines_up(site, 1, rank) or lines_up(site, 2, rank)


def _batch_normalization(site: Site) -> str | None:
    """Check that it uses statistics that are given: those of the batch mix samples."""
    trains = site.node.attributes.get_int("training_mode", 0) or len(site.node.outputs) > 1
    return data(site) or ("normalizes by statistics of the batch" if trains else None)


def _mean_variance(site: Site) -> str | None:
    return data(site) or (ALONG if 0 in (site.axes(1) or [0]) else None)


def _max_pool(site: Site) -> str | None:
    return data(site) or ("counts positions through the whole batch" if len(site.node.outputs) > 1 else None)


def _cumulation(site: Site) -> str | None:
    axis = site.array("axis", 1)
    return data(site) or (UNKNOWN if axis is None else off_batch(site.counted(int(axis.item()))))


def _quantization(site: Site) -> str | None:
    """Check that scales are by tensor, or by an axis that is not the batch."""
    rank = site.rank(1)
    if rank is None or rank > 1:
        return "scales blocks"
    return data(site) or (None if rank == 0 else off_batch(site.axis(1)))


def _cast_like(site: Site) -> str | None:
    """Check what is cast; of the second input the type alone is read."""
    return None if site.kind(0) is Kind.SAMPLES else "casts what is no sample"


def _one_hot(site: Site) -> str | None:
    axis = site.axis(-1, added=1)
    return data(site) or (UNKNOWN if axis is None else "puts an axis before the batch" if axis == 0 else None)


def _trilu(site: Site) -> str | None:
    """Check that the triangle is not of the batch: it is of the last two axes."""
    return data(site) or (None if (site.rank() or 0) > 2 else ALONG)


RULES: Mapping[str, Rule] = {
    **integers.RULES,
    **dict.fromkeys(_POINTWISE, pointwise),
    **dict.fromkeys(_BY_SAMPLE, data),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("ArgMax", "ArgMin"), _first_axis),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), _quantization),
    **dict.fromkeys(("Flatten", "Reshape"), movement.reshape),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _layer_normalization),
    **dict.fromkeys(("LpNormalization", "TopK"), _last_axis),
    **dict.fromkeys(("Resize", "Upsample"), movement.resize),
    "BatchNormalization": _batch_normalization,
    "CastLike": _cast_like,
    "Concat": movement.concat,
    "CumSum": _cumulation,
    "Einsum": products.einsum,
    "Expand": movement.expand,
    "Gather": movement.gather,
    "GatherElements": movement.gather_elements,
    "GatherND": movement.gather_nd,
    "Gemm": products.gemm,
    "MatMul": products.matmul,
    "MaxPool": _max_pool,
    "MeanVarianceNormalization": _mean_variance,
    "OneHot": _one_hot,
    "Pad": movement.pad,
    "Slice": movement.slice_,
    "Split": movement.split,
    "Squeeze": movement.squeeze,
    "Tile": movement.tile,
    "Transpose": movement.transpose,
    "Trilu": _trilu,
    "Unsqueeze": movement.unsqueeze,
}
