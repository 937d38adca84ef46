"""The layouts a lowered value can have, and how arrays change between them.

`PLAIN` is ONNX's own order of axes. A blocked layout of b lanes stores a value of shape [N, C, *S] as
[N, blocks, *S, b], so that b channels fill one vector register. Channels stand in order, and where b does not divide
C, the last lanes are padding; or `slots` say which channel stands where, and what is padding (see `channels`).
Padding lanes hold *some number* that no channel of the value is: whoever reads across channels (a convolution)
multiplies them by zero weights, and whoever leaves the layout drops them.

Either may be rounded: its float32 numbers are stored as bfloat16, see `bfloat16`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import te, topi

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.bfloat16 import rounded, widened
from graphopt.tensors import Array

PADDING = -1
"""The slot of no channel."""


@dataclass(frozen=True)
class Layout:
    """An order of axes; `lanes` channels are innermost, none where it is 0.

    Attributes:
        lanes: how many channels a block has.
        slots: the channel that each lane of each block holds, or `PADDING`; where empty, channels stand in order.
        rounded: whether numbers are stored as bfloat16.

    """

    lanes: int = 0
    slots: tuple[int, ...] = ()
    rounded: bool = False

    @property
    def is_blocked(self) -> bool:
        """Whether channels are split in blocks of lanes."""
        return self.lanes > 0

    def shape(self, logical: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in which a value of a logical (ONNX) shape is stored."""
        if not self.is_blocked:
            return logical
        batch, channels, *spatial = logical
        return (batch, -(-(len(self.slots) or channels) // self.lanes), *spatial, self.lanes)

    def places(self, channels: int) -> list[int]:
        """Return the slot of each of so many channels."""
        if not self.slots:
            return list(range(channels))
        by_channel = {channel: slot for slot, channel in enumerate(self.slots)}
        return [by_channel[channel] for channel in range(channels)]

    def arrange(self, array: Array, axis: int, fill: float = 0) -> Array:
        """Bring the channels along an axis of an array into slots, whole blocks of them; padding holds `fill`."""
        slots = list(self.slots) or list(range(array.shape[axis]))
        slots += [PADDING] * (-len(slots) % self.lanes)
        widths = [(0, 1 if index == axis % array.ndim else 0) for index in range(array.ndim)]
        return np.take(np.pad(array, widths, constant_values=fill), slots, axis)  # PADDING counts from the end


PLAIN = Layout()


def pack_array(array: Array, layout: Layout, fill: float = 0) -> Array:
    """Bring an array [N, C, *S] into a blocked layout, its padding lanes filled."""
    arranged = layout.arrange(array, 1, fill)
    batch, channels, *spatial = arranged.shape
    split = arranged.reshape(batch, channels // layout.lanes, layout.lanes, *spatial)
    return np.ascontiguousarray(np.moveaxis(split, 2, -1))


def pad_axis(array: Array, axis: int, multiple: int) -> Array:
    """Append zeros along an axis until its extent is a multiple."""
    missing = -array.shape[axis] % multiple
    if not missing:
        return array
    widths = [(0, missing if index == axis else 0) for index in range(array.ndim)]
    return np.pad(array, widths)


def split_blocks(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of consecutive numbers as (first, one behind the last)."""
    runs: list[tuple[int, int]] = []
    for block in blocks:
        if runs and runs[-1][1] == block:
            runs[-1] = (runs[-1][0], block + 1)
        else:
            runs.append((block, block + 1))
    return runs


def cuts_memory(shapes: Sequence[tuple[int, ...]], axis: int, dtype: str) -> bool:
    """Whether parts of some stored shapes, put together along an axis, lie one after the other, each well aligned."""
    if math.prod(shapes[0][:axis]) != 1:
        return False
    bits = tvm.DataType(dtype).bits
    return all(math.prod(shape) * bits // 8 % ALIGNMENT == 0 for shape in shapes[:-1])


def te_pack(source: te.Tensor, lanes: int) -> te.Tensor:
    """Compute [N, C, *S] → [N, ceil(C / lanes), *S, lanes], padding lanes zero."""
    batch, channels, *spatial = (int(extent) for extent in source.shape)

    def element(n: tvm.tirx.Var, block: tvm.tirx.Var, *rest: tvm.tirx.Var) -> tvm.tirx.Expr:
        *position, lane = rest
        channel = block * lanes + lane
        inside = source(n, channel, *position)
        if channels % lanes == 0:
            return inside
        return tvm.tirx.if_then_else(channel < channels, inside, tvm.tirx.const(0, source.dtype))

    return te.compute(Layout(lanes).shape((batch, channels, *spatial)), element, name="pack")


def te_unpack(source: te.Tensor, channels: int) -> te.Tensor:
    """Compute [N, ceil(C / lanes), *S, lanes] → [N, C, *S]."""
    batch, _, *spatial, lanes = (int(extent) for extent in source.shape)

    def element(n: tvm.tirx.Var, channel: tvm.tirx.Var, *position: tvm.tirx.Var) -> tvm.tirx.Expr:
        return source(n, channel // lanes, *position, channel % lanes)

    return te.compute((batch, channels, *spatial), element, name="unpack")


def te_join_blocks(sources: Sequence[te.Tensor], runs: Sequence[tuple[int, int]]) -> te.Tensor:
    """Compute [N, Σ (end - first), *S, lanes] from a run (first, end) of the blocks of each source."""
    parts = [
        topi.strided_slice(source, [first], [end], [1], axes=[1])
        for source, (first, end) in zip(sources, runs, strict=True)
    ]
    return topi.concatenate(parts, axis=1)


def te_round(source: te.Tensor) -> te.Tensor:
    """Compute float32 → bfloat16, element by element."""
    return te.compute(source.shape, lambda *place: rounded(source(*place)), name="round")


def te_widen(source: te.Tensor) -> te.Tensor:
    """Compute bfloat16 → float32, element by element."""
    return te.compute(source.shape, lambda *place: widened(source(*place)), name="widen")
