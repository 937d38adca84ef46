"""Which input channels a block of output channels reads, for any number of groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tvm

from graphopt.tensors import Array


@dataclass(frozen=True)
class Grouping:
    """Groups of a convolution, seen from blocks of `lanes` output channels.

    Each block reads one run of `width` input channels starting at `first(block)`, a multiple of `step`: all that any
    of its lanes needs. Lanes have zero weights for the channels of other groups.
    """

    inputs: int
    outputs: int
    groups: int
    lanes: int
    input_lanes: int
    step: int = 1

    @property
    def blocks(self) -> int:
        """How many blocks the output channels fill."""
        return -(-self.outputs // self.lanes)

    @cached_property
    def width(self) -> int:
        """How many input channels each block reads, in whole blocks of the input."""
        touched = max(self._end(block) - self._start(block) for block in range(self.blocks))
        return min(self._round(touched), self._round(self.inputs))

    def first(self, block: tvm.tirx.Var) -> tvm.tirx.Expr | int:
        """Return the first input channel that a block reads, as an expression of the block."""
        if self.groups == 1:
            return 0
        start = block * self.lanes // self._group_outputs * self._group_inputs
        if self.step > 1:
            start = start // self.step * self.step
        last = self._round(self.inputs) - self.width
        return start if self._start(self.blocks - 1) <= last else tvm.tirx.min(start, last)

    def pack(self, weights: Array) -> Array:
        """Bring weights [O, I / groups, *K] into [blocks, width / i, *K, i, lanes], i being the input's lanes."""
        kernel = weights.shape[2:]
        packed = np.zeros((self.blocks, self.width, *kernel, self.lanes), weights.dtype)
        for block in range(self.blocks):
            first, last = self._groups_of(block)
            origin = min(self._start(block), self._round(self.inputs) - self.width)
            for group in range(first, last + 1):
                low = max(group * self._group_outputs, block * self.lanes)
                high = min((group + 1) * self._group_outputs, (block + 1) * self.lanes)
                row = group * self._group_inputs - origin
                lane = low - block * self.lanes
                target = packed[block, row : row + self._group_inputs, ..., lane : lane + high - low]
                target[...] = np.moveaxis(weights[low:high], 0, -1)
        split = packed.reshape(self.blocks, -1, self.input_lanes, *kernel, self.lanes)
        return np.ascontiguousarray(np.moveaxis(split, 2, -2))

    @property
    def _group_inputs(self) -> int:
        return self.inputs // self.groups

    @property
    def _group_outputs(self) -> int:
        return self.outputs // self.groups

    def _groups_of(self, block: int) -> tuple[int, int]:
        last_channel = min((block + 1) * self.lanes, self.outputs) - 1
        return block * self.lanes // self._group_outputs, last_channel // self._group_outputs

    def _start(self, block: int) -> int:
        return self._groups_of(block)[0] * self._group_inputs // self.step * self.step

    def _end(self, block: int) -> int:
        return (self._groups_of(block)[1] + 1) * self._group_inputs

    def _round(self, channels: int) -> int:
        return -(-channels // self.input_lanes) * self.input_lanes
