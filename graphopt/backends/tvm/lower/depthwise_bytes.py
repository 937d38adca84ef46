"""Depthwise convolution of bytes whose results all readers quantize alike: one kernel from bytes to bytes.

It is written for vectors of 512 bits that sum four products of bytes, and for a plane of outputs; `convolution` lowers
all others. Numbers are the same: sums in int32, multiplied with the ratio of scales in float32 and rounded.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from tvm import relax

from graphopt.backends.tvm.lower.affine import BYTES, Affine, offset_to
from graphopt.backends.tvm.lower.integer_products import IntegerProducts, in_bytes
from graphopt.backends.tvm.lower.layout import Layout
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.quantization import parameters_of_readers
from graphopt.backends.tvm.lower.types import literal, shape_of
from graphopt.backends.tvm.lower.window import Window
from graphopt.backends.tvm.microkernel.depthwise import Depthwise
from graphopt.backends.tvm.microkernel.depthwise_step import COLUMNS, LANES
from graphopt.backends.tvm.microkernel.taps import choose_taps
from graphopt.backends.tvm.schedule.kernel import divisor_up_to
from graphopt.targets import Target
from graphopt.tensors import Array

_STRIDES = {1, 2}
_VECTOR_BITS = 512
_PADDED_BYTES = 32 << 10
"""What a task may copy at most, so that it stays in the first cache."""
_TASKS_PER_CORE = 4
_MOST_TAPS = 64
"""A step has instructions of its own for each."""


def lower_depthwise_bytes(
    lowering: Lowering, node: ir.Node, products: IntegerProducts, window: Window, bias: Array
) -> Lowered | None:
    """Return the bytes that the readers want, None where this kernel does not make them.

    `bias` is what is added to the sums, int32, one a channel.
    """
    output, target = node.outputs[0], lowering.target
    layout = products.data.layout if products.data.layout.is_blocked else Layout(lowering.lanes)
    parameters, shape = parameters_of_readers(output), shape_of(output)
    if not _has_instructions(target) or layout.lanes != LANES or parameters is None:
        return None
    ratio = np.divide(products.scale, parameters.scale).astype(np.float32)
    narrow = parameters.dtype in BYTES and len(list(in_bytes(products.weights))) == 1 and ratio.max() < 1
    if not narrow or not _fits(window, shape):
        return None
    zero_point = int(parameters.zero_point) + offset_to(lowering.byte, parameters.dtype)
    kernel = _kernel(products, window, layout, shape, target, zero_point)
    weights = layout.arrange(products.weights[:, 0].astype(np.int8), 0)
    taps = np.moveaxis(weights.reshape(-1, LANES, *window.kernel), 1, -1)
    rows = (np.broadcast_to(each, shape[1:2]) for each in (bias.astype(np.int32), ratio))
    operands = [kernel.taps.pack(taps), *(layout.arrange(row, 0).reshape(-1, LANES) for row in rows)]
    function = lowering.builder.add_func(kernel.function(), "integer_depthwise_conv_requantize")
    arguments = [lowering.arranged(products.data, layout), *map(literal, operands)]
    result = relax.TensorType((*kernel.outputs, LANES), "uint8")
    expr = lowering.store(relax.call_tir(function, arguments, result))
    return Lowered(expr, shape, layout, Affine(parameters.scale, zero_point))


def _has_instructions(target: Target) -> bool:
    return target.int8_dot and not target.signed_dot and target.vector_bits == _VECTOR_BITS


def _fits(window: Window, shape: tuple[int, ...]) -> bool:
    taps = math.prod(window.kernel)
    return len(window.kernel) == 2 and taps <= _MOST_TAPS and window.strides[1] in _STRIDES and shape[-1] >= COLUMNS


def _kernel(
    products: IntegerProducts, window: Window, layout: Layout, shape: tuple[int, ...], target: Target, zero_point: int
) -> Depthwise:
    (images, blocks, height, width), inputs = layout.shape(shape)[:-1], layout.shape(products.data.shape)[:-1]
    pitch = (window.begins[1] + inputs[-1] + window.reach(1)) * LANES
    fitting = (_PADDED_BYTES // pitch - window.reach(0)) // window.strides[0] + 1
    balanced = height * images * blocks // (_TASKS_PER_CORE * target.cores)
    chunk = divisor_up_to(height, max(1, min(fitting, max(2, balanced))))
    return Depthwise(
        inputs=inputs,
        outputs=(images, blocks, height, width),
        strides=window.strides,
        begins=window.begins,
        padding=products.zero_point,
        taps=choose_taps(window.kernel, window.strides, window.dilations, chunk),
        chunk=chunk,
        zero_point=zero_point,
    )
