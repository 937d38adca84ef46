"""Which operators we lower ourselves. Every other goes through the importer."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.activation import FORMULAS, lower_activation
from graphopt.backends.tvm.lower.convolution import lower_conv
from graphopt.backends.tvm.lower.joining import lower_concat, lower_split
from graphopt.backends.tvm.lower.linear import lower_gemm, lower_matmul
from graphopt.backends.tvm.lower.lowered import EmitterTable, Lowered, Lowering
from graphopt.backends.tvm.lower.moving import on_integers
from graphopt.backends.tvm.lower.pointwise import (
    COMBINE,
    lower_batch_normalization,
    lower_binary,
    lower_clip,
    lower_identity,
    lower_mish,
    lower_relu,
    lower_unary,
    lower_variadic,
)
from graphopt.backends.tvm.lower.pooling import (
    lower_average_pool,
    lower_global_average_pool,
    lower_max_pool,
    lower_reduce_mean,
)
from graphopt.backends.tvm.lower.quantization import lower_cast, lower_dequantize, lower_quantize
from graphopt.backends.tvm.lower.quantized_operators import DEFINITIONS, by_definition
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.resize import lower_resize
from graphopt.backends.tvm.lower.shaping import lower_gather, lower_reshape, lower_shape, lower_transpose
from graphopt.backends.tvm.lower.transposed import lower_conv_transpose
from graphopt.ir.walk import STANDARD_DOMAINS

_FINITE_UNARY = ("Erf", "Gelu", "LeakyRelu", "Sigmoid", "Tanh")
_MOVED_BY_TVM = ("DepthToSpace", "Expand", "Pad", "Slice", "SpaceToDepth", "Tile")
_VARIADIC = ("Max", "Min", "Sum")

_MOVING: EmitterTable = {
    "Concat": lower_concat,
    "Dropout": lower_identity,
    "Flatten": lower_reshape,
    "Gather": lower_gather,
    "Identity": lower_identity,
    "MaxPool": lower_max_pool,
    "Reshape": lower_reshape,
    "Resize": lower_resize,
    "Split": lower_split,
    "Squeeze": lower_reshape,
    "Transpose": lower_transpose,
    "Unsqueeze": lower_reshape,
    "Upsample": lower_resize,
    **dict.fromkeys(_MOVED_BY_TVM, importer.convert),
}
OPERATORS: EmitterTable = {
    "AveragePool": lower_average_pool,
    "BatchNormalization": lower_batch_normalization,
    "Cast": lower_cast,
    "Clip": lower_clip,
    "Conv": lower_conv,
    "ConvTranspose": lower_conv_transpose,
    "DequantizeLinear": lower_dequantize,
    "Gemm": lower_gemm,
    "GlobalAveragePool": lower_global_average_pool,
    "MatMul": lower_matmul,
    "Mish": lower_mish,
    "QuantizeLinear": lower_quantize,
    "Relu": lower_relu,
    "ReduceMean": lower_reduce_mean,
    "Shape": lower_shape,
    "Size": lower_shape,
    **{name: on_integers(emit) for name, emit in _MOVING.items()},
    **dict.fromkeys(COMBINE, lower_binary),
    **dict.fromkeys(FORMULAS, lower_activation),
    **dict.fromkeys(_FINITE_UNARY, lower_unary),
    **dict.fromkeys(_VARIADIC, lower_variadic),
}


def lower_node(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower one node and return what its outputs became.

    Raises:
        RefusalError: the node is beyond this backend.

    """
    domain = "" if node.domain in STANDARD_DOMAINS else node.domain
    if (define := DEFINITIONS.get((domain, node.op_type))) is not None:
        return by_definition(define, lower_node)(lowering, node)
    if domain:
        raise RefusalError(f"{node.domain}.{node.op_type} is no standard operator")
    return OPERATORS.get(node.op_type, importer.convert)(lowering, node)
