"""Which algorithm computes a convolution: a count of cycles for each that serves, and the fewest win."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from graphopt.backends.tvm.lower.window import Window
from graphopt.backends.tvm.lower.winograd import TAPS
from graphopt.backends.tvm.machine import FLOAT_BYTES, memory_cycles, product_cycles
from graphopt.targets import Target

_TRANSFORM_CYCLES = 1.5
"""Of a core, for one vector of channels, times the cube of the tile's size: additions, and registers spilled."""
_TILE_SIZES = 2, 4
_LEAST_GAIN = 0.9
"""Of the cycles of direct convolution: what is nearly as fast is not worth its roundings."""


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
    return best[1] if best[0] < _LEAST_GAIN * direct else None


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
    """Return the cycles of so many products a place and pair of channels, and of reading their weights.

    Sums wait for weights that come from memory: none is used for long.
    """
    pairs = products * prod(ceil(count / target.lanes()) * target.lanes() for count in channels)
    return product_cycles(pairs * places, target) + memory_cycles(pairs * FLOAT_BYTES)
