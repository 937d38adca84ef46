"""ConvTranspose (ONNX operator spec, ConvTranspose-11) with constant weights: a convolution for each phase.

Any number of spatial axes s; `phases` says which taps k meet an output t: those at its phase q + j·stride, which read
the input at p - j. With v lanes, as in `convolution`:

    dense      Y[n, o, t, v] = Σ_{c, j, i} X[n, first(o) + c·i, p - j] · W[o, c, q + j·stride, i, v]
    depthwise  Y[n, o, t, v] = Σ_j X[n, o, p - j, v] · W[o, q + j·stride, v]

Few output channels would leave most lanes empty. Then the phases of all channels are channels of a convolution (Shi et
al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR
2016), and a second kernel puts each into its place:

    few        Z[n, (q, o), p] = Σ_{c, j} X[n, c, p - j] · W[o, c, q + j·stride],    Y[n, o, t] = Z[n, (q, o), p]

W has zeros between its taps where they are dilated, and behind them up to a multiple of the stride; a NaN of the input
reaches the outputs that meet these, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from tvm import relax, te, tirx

from graphopt.backends.tvm.kernels import Kernel, mark, mark_phases
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.convolution import SUMMED_AS_IS, pack_taps, pad_spatial, reduce_axes, te_conv
from graphopt.backends.tvm.lower.grouping import Grouping
from graphopt.backends.tvm.lower.known import known
from graphopt.backends.tvm.lower.layout import PLAIN, Layout
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.phases import Phases, phases_of
from graphopt.backends.tvm.lower.precision import is_depthwise
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.lower.window import Window
from graphopt.tensors import Array

_FEW = 4
"""How many times the output channels fit into a vector where they are few."""


def lower_conv_transpose(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a ConvTranspose; weights that are no constants, and other dtypes, go through the importer."""
    data, kernel, *bias = node.inputs
    array = known(kernel)
    if data is None or array is None or dtype_of(data) not in SUMMED_AS_IS:
        return importer.convert(lowering, node)
    groups, output_shape = node.attributes.get_int("group", 1), shape_of(node.outputs[0])
    _check_operands(node, array, shape_of(data)[1], groups)
    phases, declared = phases_of(node, shape_of(data)[2:], array.shape[2:], output_shape[2:])
    weights = _by_outputs(array, groups, declared, phases)
    layout = Layout(lowering.lanes)
    if groups == 1 and _FEW * output_shape[1] <= lowering.lanes:
        layout, result = PLAIN, _few(lowering, data, weights, phases, output_shape)
    elif is_depthwise(weights, groups):
        result = _depthwise(lowering, data, weights, phases, output_shape)
    else:
        result = _dense(lowering, data, weights, groups, phases, output_shape)
    if bias and bias[0] is not None:
        result = lowering.emit(relax.op.add(result, lowering.channels(bias[0], len(output_shape), layout)))
    return [Lowered(result, output_shape, layout)]


def _check_operands(node: ir.Node, weights: Array, channels: int, groups: int) -> None:
    """Refuse operands that contradict each other, since no kernel looks whether it reads beyond their end."""
    inputs, outputs, *kernel = weights.shape
    if groups < 1 or channels != inputs or inputs % groups or shape_of(node.outputs[0])[1] != outputs * groups:
        raise RefusalError(f"its weights {list(weights.shape)} in {groups} groups do not fit {channels} channels")
    if list(node.attributes.get_ints("kernel_shape", kernel)) != kernel:
        raise RefusalError("its kernel_shape is not that of its weights")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and shape_of(bias) != (outputs * groups,):
        raise RefusalError("its bias does not have one element an output channel")


def _by_outputs(array: Array, groups: int, declared: Window, phases: Phases) -> Array:
    """Bring weights [C, O / groups, *K] into [O, C / groups, *K'], K' being every turn of every phase."""
    inputs, outputs, *_ = array.shape
    extents = [stride * turns for stride, turns in zip(phases.strides, phases.turns, strict=True)]
    result = np.zeros((groups, outputs, inputs // groups, *extents), array.dtype)
    taps = [slice(0, declared.reach(axis), dilation) for axis, dilation in enumerate(declared.dilations)]
    grouped = array.reshape(groups, inputs // groups, outputs, *declared.kernel)
    result[:, :, :, *taps] = np.swapaxes(grouped, 1, 2)
    return result.reshape(groups * outputs, inputs // groups, *extents)


def _dense(
    lowering: Lowering, data: ir.Value, weights: Array, groups: int, phases: Phases, output_shape: tuple[int, ...]
) -> relax.Expr:
    lanes = lowering.lanes
    grouping = Grouping(shape_of(data)[1], output_shape[1], groups, lanes, lanes)

    def compute(source: te.Tensor, packed: te.Tensor) -> te.Tensor:
        return te_conv_transpose(source, packed, grouping, phases, output_shape)

    return lowering.kernel("conv_transpose", compute, lowering.blocked(data), grouping.pack(weights))


def _depthwise(
    lowering: Lowering, data: ir.Value, weights: Array, phases: Phases, output_shape: tuple[int, ...]
) -> relax.Expr:
    layout = Layout(lowering.lanes)

    def compute(source: te.Tensor, taps: te.Tensor) -> te.Tensor:
        return te_depthwise_conv_transpose(source, taps, phases, layout.shape(output_shape))

    return lowering.kernel("depthwise_conv_transpose", compute, lowering.blocked(data), pack_taps(weights, layout))


def _few(
    lowering: Lowering, data: ir.Value, weights: Array, phases: Phases, output_shape: tuple[int, ...]
) -> relax.Expr:
    batch, outputs, *extents = output_shape
    layout, channels = Layout(lowering.lanes), outputs * math.prod(phases.strides)
    grouping = Grouping(shape_of(data)[1], channels, 1, lowering.lanes, lowering.lanes)
    shape = (batch, channels, *phases.places(extents))

    def compute(source: te.Tensor, packed: te.Tensor) -> te.Tensor:
        return te_conv(source, packed, layout, grouping, phases.window, shape)

    packed = grouping.pack(_phases_as_channels(weights, phases))
    result = lowering.kernel("conv", compute, lowering.blocked(data), packed)
    return lowering.kernel("interleave", lambda source: te_interleave(source, phases, output_shape), result)


def _phases_as_channels(weights: Array, phases: Phases) -> Array:
    """Bring weights [O, C, *K'] into [(*Q, O), C, *J], the first turn last, as a convolution slides."""
    outputs, inputs, *_ = weights.shape
    pairs = [extent for pair in zip(phases.turns, phases.strides, strict=True) for extent in pair]
    axes = range(2, 2 + len(pairs))
    turns, strides = axes[::2], axes[1::2]
    sliding = np.flip(weights.reshape(outputs, inputs, *pairs), tuple(turns))
    return np.transpose(sliding, (*strides, 0, 1, *turns)).reshape(-1, inputs, *phases.turns)


def te_conv_transpose(
    source: te.Tensor, packed: te.Tensor, grouping: Grouping, phases: Phases, output_shape: tuple[int, ...]
) -> te.Tensor:
    """Describe the dense kernel; `source` is [N, C / i, *S, i], `packed` as `Grouping.pack` makes it."""
    padded = pad_spatial(source, phases.window, phases.places(output_shape[2:]), 0.0)
    blocks = te.reduce_axis((0, int(packed.shape[1])), "c")
    turns = reduce_axes(phases.turns)
    lane = te.reduce_axis((0, grouping.input_lanes), "i")

    def element(n: tirx.Var, o: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
        *position, v = rest
        channel = grouping.first(o) + blocks * grouping.input_lanes + lane
        at, taps = _met(position, turns, phases)
        value = padded(n, channel // grouping.input_lanes, *at, channel % grouping.input_lanes)
        return te.sum(value * packed(o, blocks, *taps, lane, v), axis=[blocks, *turns, lane])

    shape = Layout(grouping.lanes).shape(output_shape)
    attributes = mark_phases(Kernel.CONV_TRANSPOSE, phases.strides[-1])
    return te.compute(shape, element, name="conv_transpose", attrs=attributes)


def te_depthwise_conv_transpose(
    source: te.Tensor, taps: te.Tensor, phases: Phases, shape: tuple[int, ...]
) -> te.Tensor:
    """Describe the depthwise kernel on a blocked `source`, `taps` [C / v, *K', v]; `shape` is the stored result's."""
    padded = pad_spatial(source, phases.window, phases.places(shape[2:-1]), 0.0)
    turns = reduce_axes(phases.turns)

    def element(n: tirx.Var, o: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
        *position, v = rest
        at, met = _met(position, turns, phases)
        return te.sum(padded(n, o, *at, v) * taps(o, *met, v), axis=turns)

    return te.compute(shape, element, name="depthwise_conv_transpose", attrs=mark(Kernel.DEPTHWISE_CONV))


def te_interleave(source: te.Tensor, phases: Phases, output_shape: tuple[int, ...]) -> te.Tensor:
    """Compute [N, C / v, *P, v] → [N, O, *S] from channels that are the phases, each with all outputs."""
    outputs, lanes = output_shape[1], int(source.shape[-1])

    def element(n: tirx.Var, o: tirx.Var, *position: tirx.Var) -> tirx.Expr:
        at, (first, *others) = phases.of(position)
        channel = first
        for phase, stride in zip(others, phases.strides[1:], strict=True):
            channel = channel * stride + phase
        channel = channel * outputs + o
        return source(n, channel // lanes, *at, channel % lanes)

    return te.compute(output_shape, element, name="interleave")


def _met(
    position: Sequence[tirx.Var], turns: Sequence[tirx.IterVar], phases: Phases
) -> tuple[list[tirx.Expr], list[tirx.Expr]]:
    """Return which place of the padded input and which tap an output meets in each turn."""
    places, ahead = phases.of(position)
    return (
        [place + count - 1 - turn for place, count, turn in zip(places, phases.turns, turns, strict=True)],
        [phase + turn * stride for phase, turn, stride in zip(ahead, turns, phases.strides, strict=True)],
    )
