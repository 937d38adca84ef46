"""Which algorithm computes a convolution: a count of cycles for each that serves, and the fewest win."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

import onnx_ir as ir

from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.lower.window import Window, window_of
from graphopt.backends.tvm.lower.winograd import TAPS
from graphopt.backends.tvm.lower.winograd_cost import Winograd, whole_pairs, winograd_ways
from graphopt.backends.tvm.machine import FLOAT_BYTES, memory_cycles, product_cycles
from graphopt.backends.tvm.tile import choose_tile
from graphopt.targets import Precision, Target
from graphopt.tensors import Array

_EXPOSED = 0.5
"""Of the time that weights take from memory, what multiplying does not hide."""
_LEAST_GAIN = 0.9
"""Of the cycles of direct convolution: what is nearly as fast is not worth its roundings."""


def winograd_of(node: ir.Node, weights: Array, target: Target) -> Winograd | None:
    """Return how Winograd's algorithm computes a Conv of constant weights, None if another one does."""
    data = node.inputs[0]
    grouped = node.attributes.get_int("group", 1) > 1
    few = 2 * min(weights.shape[:2]) < target.lanes()  # most of a vector would be padding
    if data is None or grouped or few or dtype_of(data) != "float32":
        return None
    window = window_of(node, shape_of(data)[2:], weights.shape[2:])
    return choose_winograd(window, weights.shape[1::-1], shape_of(node.outputs[0]), target)


def choose_winograd(
    window: Window, channels: Sequence[int], output_shape: Sequence[int], target: Target
) -> Winograd | None:
    """Return how Winograd's algorithm is expected to beat direct convolution, else None.

    Args:
        window: how the taps slide.
        channels: those of the input and those of the output.
        output_shape: [N, O, H, W].
        target: whose vectors and cores compute.

    """
    if not target.winograd or window.kernel != (TAPS, TAPS) or {*window.strides, *window.dilations} != {1}:
        return None
    cycles, best = min(winograd_ways(channels, output_shape, target))
    return best if cycles < _LEAST_GAIN * _direct_cycles(channels, output_shape, target) else None


def _direct_cycles(channels: Sequence[int], output_shape: Sequence[int], target: Target) -> float:
    batch, _, *extents = output_shape
    pairs, rows = TAPS**2 * whole_pairs(channels, target), batch * prod(extents[:-1])
    tile = choose_tile(ceil(channels[1] / target.lanes()), extents[-1], target)
    products = product_cycles(pairs * rows * extents[-1], target) * tile.slowness(extents[-1], target)
    cycles = products + _EXPOSED * memory_cycles(FLOAT_BYTES * pairs)
    return cycles / target.bf16_speedup if target.precision is Precision.BF16 else cycles
