"""Which algorithm computes a convolution: a count of cycles for each that serves, and the fewest win."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from graphopt.backends.tvm.lower.window import Window
from graphopt.backends.tvm.lower.winograd import TAPS
from graphopt.targets import Target

_FLOAT_BYTES = 4
_MULTIPLIES_PER_CYCLE = 2
"""Vectors that a core multiplies and adds in one cycle."""
_BYTES_PER_CYCLE = 4
"""What all cores together get from memory, where the weights of a large network come from in each run.

They arrive while nothing else is done: sums wait for them, since no weight is used for long."""
_TRANSFORM_CYCLES = 1.5
"""Of a core, for one vector of channels, times the cube of the tile's size: additions, and registers spilled."""
_TILE_SIZES = 2, 4


def winograd_outputs(
    window: Window, channels: Sequence[int], output_shape: Sequence[int], target: Target
) -> int | None:
    """Return m where F(m × m, 3 × 3) is expected to beat direct convolution, else None.

    Args:
        window: how the taps slide.
        channels: those of the input and those of the output.
        output_shape: [N, O, H, W].
        target: whose vectors and cores compute.

    """
    if not target.winograd or window.kernel != (TAPS, TAPS) or {*window.strides, *window.dilations} != {1}:
        return None
    best = min((_winograd_cycles(m, channels, output_shape, target), m) for m in _TILE_SIZES)
    direct = _direct_cycles(channels, output_shape, target)
    return best[1] if best[0] < direct else None


def _direct_cycles(channels: Sequence[int], output_shape: Sequence[int], target: Target) -> float:
    batch, _, *extents = output_shape
    return _cycles(TAPS * TAPS, batch * prod(extents), channels, target)


def _winograd_cycles(outputs: int, channels: Sequence[int], output_shape: Sequence[int], target: Target) -> float:
    batch, _, *extents = output_shape
    tiles = batch * prod(ceil(extent / outputs) for extent in extents)
    size = outputs + TAPS - 1
    vectors = tiles * sum(channels) / target.lanes()
    return _cycles(size * size, tiles, channels, target) + _TRANSFORM_CYCLES * size**3 * vectors / target.cores


def _cycles(products: int, places: int, channels: Sequence[int], target: Target) -> float:
    """Return the cycles of so many products a place and pair of channels, and of reading their weights."""
    pairs = products * prod(ceil(count / target.lanes()) * target.lanes() for count in channels)
    compute = pairs * places / (_MULTIPLIES_PER_CYCLE * target.lanes() * target.cores)
    return compute + pairs * _FLOAT_BYTES / _BYTES_PER_CYCLE
