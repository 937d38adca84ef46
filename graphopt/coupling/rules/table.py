"""The table: by operator of `ai.onnx`, how the axes of its operands relate. Each rule holds from opset 7 on."""

from __future__ import annotations

from collections.abc import Mapping

from graphopt.coupling.cut import Adjust
from graphopt.coupling.rules import convolution, elementwise, normalization, pooling, products, reshape
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

RULES: Rules = {
    **dict.fromkeys(_POINTWISE, elementwise.pointwise),
    **dict.fromkeys(_UNARY, elementwise.unary),
    **dict.fromkeys(_POOLS, pooling.pool),
    **dict.fromkeys(("Flatten", "Reshape"), reshape.reshape),
    "BatchNormalization": normalization.batch_normalization,
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    "Gemm": products.gemm,
    "MatMul": products.matmul,
}

ADJUSTMENTS: Mapping[str, Adjust] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), convolution.adjust),
    "Reshape": reshape.adjust,
}
