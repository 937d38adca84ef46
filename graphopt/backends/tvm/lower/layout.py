"""The layouts a lowered value can have, and how arrays change between them.

`PLAIN` is ONNX's own order of axes. A blocked layout of b lanes stores a value of shape [N, C, *S] as
[N, ceil(C / b), *S, b], so that b neighbouring channels fill one vector register; where b does not divide
C, the last lanes are padding. Padding lanes hold *some finite number*, not zero: whoever reads across
channels (a convolution) multiplies them by zero weights, and whoever leaves the layout drops them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm
from tvm import te

from graphopt.tensors import Array


@dataclass(frozen=True)
class Layout:
    """An order of axes; `lanes` channels are innermost, none where it is 0."""

    lanes: int = 0

    @property
    def is_blocked(self) -> bool:
        """Whether channels are split in blocks of lanes."""
        return self.lanes > 0

    def shape(self, logical: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in which a value of a logical (ONNX) shape is stored."""
        if not self.is_blocked:
            return logical
        batch, channels, *spatial = logical
        return (batch, -(-channels // self.lanes), *spatial, self.lanes)


PLAIN = Layout()


def pack_array(array: Array, lanes: int) -> Array:
    """Bring an array [N, C, *S] into blocks of lanes, padding lanes zero."""
    padded = pad_axis(array, 1, lanes)
    batch, channels, *spatial = padded.shape
    split = padded.reshape(batch, channels // lanes, lanes, *spatial)
    return np.ascontiguousarray(np.moveaxis(split, 2, -1))


def pad_axis(array: Array, axis: int, multiple: int) -> Array:
    """Append zeros along an axis until its extent is a multiple."""
    missing = -array.shape[axis] % multiple
    if not missing:
        return array
    widths = [(0, missing if index == axis else 0) for index in range(array.ndim)]
    return np.pad(array, widths)


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
