"""Which algorithm computes a convolution: a count of cycles for each that serves, and the fewest win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import onnx_ir as ir

from graphopt.backends.tvm.bfloat16 import PAIR
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.lower.window import Window, window_of
from graphopt.backends.tvm.lower.winograd import TAPS
from graphopt.backends.tvm.machine import FLOAT_BYTES, memory_cycles, product_cycles, repeated_cycles
from graphopt.backends.tvm.tile import choose_tile
from graphopt.targets import Precision, Target
from graphopt.tensors import Array

_TRANSFORM_CYCLES = 1.5
"""Of a core, for one vector of channels, times the cube of the tile's size: additions, and registers spilled."""
_WEIGHT_CYCLES = 2
"""The same for one vector of weights, times the square of the tile's size."""
_SHARING_BLOCKS = 2
"""Blocks of output channels for which the transformed input passes by once, where weights are transformed."""
_TILE_SIZES = 2, 4
_LEAST_GAIN = 0.9
"""Of the cycles of direct convolution: what is nearly as fast is not worth its roundings."""


@dataclass(frozen=True, order=True)
class Winograd:
    """F(m × m, 3 × 3) of m `outputs`; weights are stored `transformed`, or as they are."""

    outputs: int
    transformed: bool


def winograd_of(node: ir.Node, weights: Array, target: Target) -> Winograd | None:
    """Return how Winograd's convolution computes a Conv of constant weights, None if another one does."""
    data = node.inputs[0]
    grouped = node.attributes.get_int("group", 1) > 1
    if data is None or grouped or min(weights.shape[:2]) < target.lanes() or dtype_of(data) != "float32":
        return None
    window = window_of(node, shape_of(data)[2:], weights.shape[2:])
    return choose_winograd(window, weights.shape[1::-1], shape_of(node.outputs[0]), target)


def choose_winograd(
    window: Window, channels: Sequence[int], output_shape: Sequence[int], target: Target
) -> Winograd | None:
    """Return how Winograd's convolution is expected to beat direct convolution, else None.

    Args:
        window: how the taps slide.
        channels: those of the input and those of the output.
        output_shape: [N, O, H, W].
        target: whose vectors and cores compute.

    """
    if not target.winograd or window.kernel != (TAPS, TAPS) or {*window.strides, *window.dilations} != {1}:
        return None
    ways = [Winograd(outputs, transformed) for outputs in _TILE_SIZES for transformed in (True, False)]
    cycles, best = min((_winograd_cycles(way, channels, output_shape, target), way) for way in ways)
    return best if cycles < _LEAST_GAIN * _direct_cycles(channels, output_shape, target) else None


def _direct_cycles(channels: Sequence[int], output_shape: Sequence[int], target: Target) -> float:
    batch, _, *extents = output_shape
    pairs, rows = TAPS**2 * _pairs(channels, target), batch * prod(extents[:-1])
    cycles = _product_cycles(pairs, rows, extents[-1], channels, target) + memory_cycles(pairs * FLOAT_BYTES)
    return cycles / PAIR if target.precision is Precision.BF16 else cycles


def _winograd_cycles(way: Winograd, channels: Sequence[int], output_shape: Sequence[int], target: Target) -> float:
    """Count products, transforms, and reading weights: sums wait for what comes from memory, since it is used once."""
    batch, _, *extents = output_shape
    tiles = batch * prod(ceil(extent / way.outputs) for extent in extents)
    size, pairs = way.outputs + TAPS - 1, _pairs(channels, target)
    vectors = tiles * sum(channels) / target.lanes()
    cycles = _product_cycles(size**2 * pairs, 1, tiles, channels, target)
    cycles += _TRANSFORM_CYCLES * size**3 * vectors / target.cores
    if way.transformed:
        return cycles + memory_cycles(size**2 * pairs * FLOAT_BYTES)
    inputs, outputs = channels
    passes = outputs / (_SHARING_BLOCKS * target.lanes())
    passing = repeated_cycles(size**2 * inputs * tiles * FLOAT_BYTES, passes, target)
    transforms = _WEIGHT_CYCLES * size**2 * pairs / target.lanes() / target.cores
    return cycles + passing + transforms + memory_cycles(TAPS**2 * pairs * FLOAT_BYTES)


def _product_cycles(pairs: int, rows: int, columns: int, channels: Sequence[int], target: Target) -> float:
    """Return the cycles of `pairs` products for each of the columns of rows, as tiles in registers divide them."""
    tile = choose_tile(ceil(channels[1] / target.lanes()), columns, target)
    return product_cycles(pairs * rows * columns, target) * tile.slowness(columns)


def _pairs(channels: Sequence[int], target: Target) -> int:
    return prod(ceil(count / target.lanes()) * target.lanes() for count in channels)
