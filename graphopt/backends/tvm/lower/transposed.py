"""ConvTranspose (ONNX operator spec, ConvTranspose-11) whose windows touch but do not overlap: kernel = stride.

Each output then has exactly one tap, and with s the stride, a position p·s + q reads input p with weight q:

    Z[n, o, p, q, v] = Σ_{c, i} X[n, c, p, i] · W[o, c, q, i, v]      one p and one q for each spatial axis

Z with its axes in the order p₀ q₀ p₁ q₁ … is the output already, merely reshaped. Other windows go through the
importer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from tvm import relax, te, tirx

from graphopt.backends.tvm.kernels import Kernel, mark
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.grouping import Grouping
from graphopt.backends.tvm.lower.layout import Layout, pack_array
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.types import dtype_of, literal, shape_of
from graphopt.ir.constants import constant


def lower_conv_transpose(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a ConvTranspose with constant weights, without groups, whose kernel is its stride."""
    data, weights, *bias = node.inputs
    array = constant(weights)
    addend = constant(bias[0]) if bias else None
    if data is None or array is None or (bias and addend is None) or not _tiles_exactly(node, data, array.shape):
        return importer.convert(lowering, node)
    shape, output_shape, stride = shape_of(data), shape_of(node.outputs[0]), array.shape[2:]
    lanes = lowering.lanes
    packed = Grouping(shape[1], output_shape[1], 1, lanes, lanes).pack(np.swapaxes(array, 0, 1))

    def compute(source: te.Tensor, taps: te.Tensor) -> te.Tensor:
        return te_conv_transpose(source, taps, stride)

    result = lowering.kernel("conv_transpose", compute, lowering.blocked(data), packed)
    if addend is not None:
        column = addend.reshape(1, -1, *(1,) * (2 * len(stride)))
        result = lowering.emit(relax.op.add(result, literal(pack_array(column, Layout(lanes)))))
    layout = Layout(lanes)
    return [Lowered(lowering.emit(relax.op.reshape(result, layout.shape(output_shape))), output_shape, layout)]


def te_conv_transpose(source: te.Tensor, packed: te.Tensor, stride: Sequence[int]) -> te.Tensor:
    """Describe [N, C / i, *P, i] × [O / v, C / i, *Q, i, v] → [N, O / v, P₀, Q₀, P₁, Q₁, …, v]."""
    batch, _, *inputs, _ = (int(extent) for extent in source.shape)
    blocks, outer, *_, inner, lanes = (int(extent) for extent in packed.shape)
    block, lane = te.reduce_axis((0, outer), "c"), te.reduce_axis((0, inner), "i")
    interleaved = [extent for pair in zip(inputs, stride, strict=True) for extent in pair]

    def element(n: tirx.Var, o: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
        *position, v = rest
        value = source(n, block, *position[::2], lane)
        return te.sum(value * packed(o, block, *position[1::2], lane, v), axis=[block, lane])

    shape = (batch, blocks, *interleaved, lanes)
    return te.compute(shape, element, name="conv_transpose", attrs=mark(Kernel.CONV))


def _tiles_exactly(node: ir.Node, data: ir.Value, weights: tuple[int, ...]) -> bool:
    """Whether every output has exactly one tap, and no other attribute says otherwise."""
    attributes, kernel = node.attributes, weights[2:]
    ones = [1] * len(kernel)
    outputs = tuple(extent * size for extent, size in zip(shape_of(data)[2:], kernel, strict=True))
    return (
        dtype_of(data) == "float32"
        and tuple(attributes.get_ints("strides", ones)) == kernel
        and list(attributes.get_ints("dilations", ones)) == ones
        and attributes.get_int("group", 1) == 1
        and not any(attributes.get_ints("pads", [0]))
        and not any(attributes.get_ints("output_padding", [0]))
        and shape_of(node.outputs[0]) == (shape_of(data)[0], weights[1], *outputs)
    )
