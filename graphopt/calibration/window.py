"""The columns that a convolution multiplies its weight with (ONNX operator spec, Conv)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Float32 = npt.NDArray[np.float32]

_BLOCK_BYTES = 1 << 22
"""Of columns that are laid out together: a picture of them all would be nine times the input for 3 × 3 taps."""


@dataclass(frozen=True)
class Window:
    """How a kernel slides over the spatial axes; one number an axis in each field.

    Attributes:
        group: how many groups of channels there are.
        pads: before and behind; None where `auto_pad` finds them from the size of the input.

    """

    group: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...] | None
    auto_pad: str

    @staticmethod
    def of(node: ir.Node, kernel: tuple[int, ...]) -> Window:
        """Read the attributes of a Conv."""
        rank, attributes = len(kernel), node.attributes
        automatic = attributes.get_string("auto_pad", "NOTSET")
        pads = [0] * 2 * rank if automatic == "VALID" else attributes.get_ints("pads", [0] * 2 * rank)
        return Window(
            attributes.get_int("group", 1),
            kernel,
            tuple(attributes.get_ints("strides", [1] * rank)),
            tuple(attributes.get_ints("dilations", [1] * rank)),
            None if automatic.startswith("SAME") else tuple(zip(pads[:rank], pads[rank:], strict=True)),
            automatic,
        )

    def columns(self, values: Float32) -> Iterator[Float32]:
        """Yield the columns of an input [N, C, …], blocks [group, C/group · taps, columns] of a few megabytes."""
        spatial = values.shape[2:]
        borders = self.pads if self.pads is not None else self._same(spatial)
        for sample in values:
            grouped = sample.reshape(self.group, -1, *spatial)
            padded = np.pad(grouped, ((0, 0), (0, 0), *borders)) if any(map(any, borders)) else grouped
            yield from self._blocks(padded)

    def _blocks(self, padded: Float32) -> Iterator[Float32]:
        rank = len(self.kernel)
        axes = tuple(range(2, 2 + rank))
        taps = np.lib.stride_tricks.sliding_window_view(padded, self._reach, axes)
        steps = *(slice(None, None, stride) for stride in self.strides), *(slice(None, None, d) for d in self.dilations)
        windows = taps[(slice(None), slice(None), *steps)].transpose(
            0, 1, *range(2 + rank, 2 + 2 * rank), *axes
        )  # [group, channel, *kernel, *places]
        size = math.prod(windows.shape[1 : 2 + rank])
        row_bytes = self.group * size * math.prod(windows.shape[3 + rank :]) * padded.itemsize
        rows = max(_BLOCK_BYTES // max(row_bytes, 1), 1)
        for start in range(0, windows.shape[2 + rank], rows):
            block = windows[(slice(None),) * (2 + rank) + (slice(start, start + rows),)]
            yield block.reshape(self.group, size, -1)

    @property
    def _reach(self) -> tuple[int, ...]:
        """How many places the taps span."""
        return tuple((size - 1) * apart + 1 for size, apart in zip(self.kernel, self.dilations, strict=True))

    def _same(self, spatial: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Pad so that there are ceil(size / stride) places; what is odd goes to the end that `auto_pad` names."""
        borders = []
        for size, stride, reach in zip(spatial, self.strides, self._reach, strict=True):
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            half = total // 2
            borders.append((half, total - half) if self.auto_pad == "SAME_UPPER" else (total - half, half))
        return tuple(borders)
