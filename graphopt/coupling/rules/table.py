"""The table: by operator of `ai.onnx`, how the axes of its operands relate. Each rule holds from opset 7 on."""

from __future__ import annotations

from collections.abc import Mapping

from graphopt.coupling.cut import Adjust
from graphopt.coupling.rules import (
    attention,
    convolution,
    elementwise,
    joining,
    movement,
    normalization,
    pooling,
    products,
    quantization,
    reduction,
    reshape,
    resize,
    selection,
    sizes,
)
from graphopt.coupling.site import Rules

_POINTWISE = """
Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Clip Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod
Mul Or PRelu Pow Sub Sum Where Xor
""".split()
_UNARY = """
Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu Cos Cosh Dropout Elu Erf Exp Floor Gelu
HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
""".split()
_POOLS = "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool".split()

_REDUCTIONS = """
ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
""".split()

RULES: Rules = {
    **dict.fromkeys(_POINTWISE, elementwise.pointwise),
    **dict.fromkeys(_UNARY, elementwise.unary),
    **dict.fromkeys(_POOLS, pooling.pool),
    **dict.fromkeys(_REDUCTIONS, reduction.reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), reduction.arg),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), quantization.quantization),
    **dict.fromkeys(("Flatten", "Reshape"), reshape.reshape),
    **dict.fromkeys(("GridSample", "MaxRoiPool", "RoiAlign"), pooling.sample),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), reduction.softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), normalization.layer_normalization),
    **dict.fromkeys(("Resize", "Upsample"), resize.resize),
    "Attention": attention.attention,
    "BatchNormalization": normalization.batch_normalization,
    "Concat": joining.concat,
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    "CumSum": reduction.cumulation,
    "DepthToSpace": movement.depth_to_space,
    "Einsum": products.einsum,
    "Expand": movement.expand,
    "Gather": selection.gather,
    "Gemm": products.gemm,
    "GroupNormalization": normalization.group_normalization,
    "InstanceNormalization": normalization.instance_normalization,
    "LRN": normalization.local_response,
    "LpNormalization": reduction.lp_normalization,
    "MatMul": products.matmul,
    "MeanVarianceNormalization": normalization.mean_variance,
    "Pad": selection.pad,
    "Shape": sizes.shape,
    "Size": sizes.size,
    "Slice": selection.slice_,
    "SpaceToDepth": movement.space_to_depth,
    "Split": joining.split,
    "Squeeze": movement.squeeze,
    "Tile": movement.tile,
    "TopK": reduction.top,
    "Transpose": movement.transpose,
    "Unsqueeze": movement.unsqueeze,
}

ADJUSTMENTS: Mapping[str, Adjust] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), convolution.adjust),
    "Attention": attention.adjust,
    "Expand": movement.adjust_expand,
    "Gather": selection.adjust_gather,
    "Pad": selection.adjust_pad,
    "Reshape": reshape.adjust,
    "Resize": resize.adjust,
    "Slice": selection.adjust_slice,
    "Split": joining.adjust_split,
    "Squeeze": movement.adjust_squeeze,
}
