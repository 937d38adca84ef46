"""What Winograd's algorithm costs, by the tile's size and by when the weights are transformed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

from graphopt.backends.tvm.lower.winograd import TAPS
from graphopt.backends.tvm.machine import (
    FLOAT_BYTES,
    busy_share,
    even_parts,
    kept_cycles,
    memory_cycles,
    own_cycles,
    product_cycles,
)
from graphopt.backends.tvm.tile import FEWEST_COLUMNS, choose_tile
from graphopt.targets import Target

_TILE_SIZES = 2, 4
_TRANSFORM_CYCLES = 1.5
"""Of a core, for one vector of channels, times the cube of the tile's size: additions, and registers spilled."""
_WEIGHT_CYCLES = 0.45
"""Likewise, for one vector of weights: most are stores."""
_EXPOSED_INPUT = 0.1
"""Of the time that transformed input takes to pass again and again, what multiplying does not hide."""
_BARRIER_CYCLES = 12_000.0
"""Of waiting for each other twice, once before the products and once behind them."""
_BLOCKS = 2
"""Of output channels that are summed at a time."""


@dataclass(frozen=True, order=True)
class Winograd:
    """How F(m × m, 3 × 3) computes a convolution.

    Attributes:
        outputs: m.
        late: whether weights are transformed at run time, a few at a time, instead of at compile time.

    """

    outputs: int
    late: bool


@dataclass(frozen=True)
class WinogradCost:
    """A convolution by F(m × m, 3 × 3).

    Attributes:
        outputs: m.
        channels: those of the input and those of the output.
        output_shape: [N, O, H, W].
        target: whose vectors and cores compute.

    """

    outputs: int
    channels: Sequence[int]
    output_shape: Sequence[int]
    target: Target

    def ways(self) -> Iterator[tuple[float, Winograd]]:
        """Yield the cycles of weights that are transformed early, and late where a core cannot keep them."""
        yield self._early_cycles(), Winograd(self.outputs, late=False)
        if self._weights_pass:
            yield self._late_cycles(), Winograd(self.outputs, late=True)

    def _early_cycles(self) -> float:
        products, passing, waits = self._product_cycles, 0.0, 0.0
        if self._weights_pass:
            products += self._reload_cycles()
            passing = memory_cycles(self._weight_bytes)
        if self._weights_pass or self._tiles < FEWEST_COLUMNS * self.target.cores:
            waits = _BARRIER_CYCLES if self.target.cores > 1 else 0.0
        return max(products, passing) + self._transform_cycles * sum(self.channels) / self.target.cores + waits

    def _late_cycles(self) -> float:
        """Count what each core does for itself as often as it does: transforming all of the input."""
        (inputs, outputs), target = self.channels, self.target
        parts = even_parts(ceil(outputs / self._together), target)
        products = self._product_cycles / busy_share(parts, target)
        passing = memory_cycles(FLOAT_BYTES * TAPS**2 * self._pairs)
        transforms = self._transform_cycles * (inputs * ceil(parts / target.cores) + outputs / target.cores)
        weights = _WEIGHT_CYCLES * self._size**3 * self._pairs / target.lanes() / target.cores
        return max(products, passing) + transforms + weights + _EXPOSED_INPUT * self._input_cycles()

    def _reload_cycles(self) -> float:
        """Count what comes from the second cache where one product of all tiles and its weights overfill the first."""
        inputs, outputs = self.channels
        around = FLOAT_BYTES * inputs * (self._tiles + self._together)
        times = self._size**2 * outputs / self._together
        return own_cycles(around * times, self.target) if around > self.target.l1_bytes else 0.0

    def _input_cycles(self) -> float:
        """Count how the transformed input passes once for each output channels that are summed at a time."""
        inputs, outputs = self.channels
        size, beside = FLOAT_BYTES * self._size**2 * inputs * self._tiles, self.target.l2_bytes // 4
        return kept_cycles(size, outputs / self._together, self.target, beside=beside, keepers=self.target.cores)

    @cached_property
    def _product_cycles(self) -> float:
        tile = choose_tile(ceil(self.channels[1] / self.target.lanes()), self._tiles, self.target)
        products = self._size**2 * self._pairs * self._tiles
        return product_cycles(products, self.target) * tile.slowness(self._tiles, self.target)

    @property
    def _transform_cycles(self) -> float:
        """Those of one core for one channel of all tiles."""
        return _TRANSFORM_CYCLES * self._size**3 * self._tiles / self.target.lanes()

    @property
    def _weights_pass(self) -> bool:
        """Whether transformed weights are too many for a core to keep."""
        return self._weight_bytes > self.target.l2_bytes

    @property
    def _weight_bytes(self) -> int:
        return FLOAT_BYTES * self._size**2 * self._pairs

    @property
    def _size(self) -> int:
        return self.outputs + TAPS - 1

    @property
    def _tiles(self) -> int:
        batch, _, *extents = self.output_shape
        return batch * prod(ceil(extent / self.outputs) for extent in extents)

    @property
    def _together(self) -> int:
        """How many output channels are summed at a time."""
        return _BLOCKS * self.target.lanes()

    @property
    def _pairs(self) -> int:
        return whole_pairs(self.channels, self.target)


def winograd_ways(
    channels: Sequence[int], output_shape: Sequence[int], target: Target
) -> Iterator[tuple[float, Winograd]]:
    """Yield how Winograd's algorithm may compute a convolution, each with its cycles."""
    for size in _TILE_SIZES:
        yield from WinogradCost(size, channels, output_shape, target).ways()


def whole_pairs(channels: Sequence[int], target: Target) -> int:
    """Return how many pairs of an input and an output channel there are, those that fill the last vectors included."""
    return prod(ceil(count / target.lanes()) * target.lanes() for count in channels)
