"""Moving elements without changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call, Operator
from graphopt.distillation.bridge.elementwise import unary


def reshape(call: Call) -> Tensor:
    """Reshape; 0 keeps the size of an axis (ONNX operator spec, Reshape-14)."""
    x, target = call[0], call.listed(1) or []
    if not call.number("allowzero", 0):
        target = [x.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    return x.reshape(target)


def flatten(call: Call) -> Tensor:
    """Flatten to a matrix, split before `axis`."""
    x, axis = call[0], call.number("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def transpose(call: Call) -> Tensor:
    """Transpose; without `perm` the axes are turned round."""
    return call[0].permute(call.ints("perm") or list(reversed(range(call[0].ndim))))


def squeeze(call: Call) -> Tensor:
    """Squeeze the given axes, or all of size 1."""
    axes = call.axes(1)
    return call[0].squeeze() if axes is None else call[0].squeeze(axes)


def unsqueeze(call: Call) -> Tensor:
    """Unsqueeze: the axes are counted in the output."""
    x, axes = call[0], call.axes(1) or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def concat(call: Call) -> Tensor:
    """Concat along an axis."""
    return torch.cat(call.present, call.number("axis", 1))


def split(call: Call) -> Sequence[Tensor]:
    """Split into sizes that are given, or alike; the last of `num_outputs` may be smaller (Split-18)."""
    x, axis = call[0], call.number("axis", 0)
    sizes = call.ints("split") or call.listed(1)
    count = len(call.node.outputs)
    parts: Sequence[Tensor] = x.split(sizes or -(-x.shape[axis] // count), axis)
    return parts


def slice_(call: Call) -> Tensor:
    """Slice; steps may be negative (ONNX operator spec, Slice-13)."""
    x = call[0]
    given = "starts" in call.node.attributes
    starts = (call.ints("starts") if given else call.listed(1)) or []
    ends = (call.ints("ends") if given else call.listed(2)) or []
    axes = (call.ints("axes") if given else call.listed(3)) or list(range(len(starts)))
    steps = call.listed(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        start, end, step = slice(start, end, step).indices(x.shape[axis])  # noqa: PLW2901  # cut off at the borders
        if step > 0:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(start, max(start, end), step),)]
        else:
            x = x.index_select(axis, torch.arange(start, min(start, end), step))
    return x


def pad(call: Call) -> Tensor:
    """Pad, or crop where a number is negative (ONNX operator spec, Pad-21); an attribute up to opset 10."""
    x = call[0]
    pads = call.ints("pads") or call.listed(1) or []
    axes = call.listed(3) or list(range(x.ndim))
    mode = call.text("mode", "constant")
    borders = dict(
        zip([axis % x.ndim for axis in axes], zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True)
    )
    if mode == "constant":
        value = call.get(2)
        number = call.real("value", 0.0) if value is None else value.item()
        flat = [size for axis in reversed(range(x.ndim)) for size in borders.get(axis, (0, 0))]
        return torch.nn.functional.pad(x, flat, value=number)
    for axis, (before, behind) in borders.items():
        x = _extended(x, axis, before, behind, mode)
    return x


def _extended(x: Tensor, axis: int, before: int, behind: int, mode: str) -> Tensor:
    """Pad an axis by elements of its own: their places are what numpy makes of 0, 1, 2 …"""
    places = np.arange(x.shape[axis])[max(-before, 0) : x.shape[axis] - max(-behind, 0)]
    places = np.pad(places, (max(before, 0), max(behind, 0)), mode)  # type: ignore[call-overload]
    return x.index_select(axis, torch.from_numpy(places))


def gather(call: Call) -> Tensor:
    """Gather slices along an axis."""
    x, indices, axis = call[0], call[1].long(), call.number("axis", 0) % call[0].ndim
    flat = torch.where(indices < 0, indices + x.shape[axis], indices).reshape(-1)
    return x.index_select(axis, flat).reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def gather_elements(call: Call) -> Tensor:
    """GatherElements along an axis."""
    x, indices, axis = call[0], call[1].long(), call.number("axis", 0)
    return x.gather(axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def expand(call: Call) -> Tensor:
    """Expand: both shapes are broadcast."""
    return call[0].broadcast_to(torch.broadcast_shapes(call[0].shape, call.listed(1) or []))


def tile(call: Call) -> Tensor:
    """Tile, each axis as many times as said."""
    return call[0].tile(call.listed(1) or [])


def depth_to_space(call: Call) -> Tensor:
    """DepthToSpace in either order (ONNX operator spec, DepthToSpace-13)."""
    x, size = call[0], call.number("blocksize", 1)
    batch, channels, height, width = x.shape
    if call.text("mode", "DCR") == "DCR":
        moved = x.reshape(batch, size, size, -1, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        moved = x.reshape(batch, -1, size, size, height, width).permute(0, 1, 4, 2, 5, 3)
    return moved.reshape(batch, channels // size**2, height * size, width * size)


def space_to_depth(call: Call) -> Tensor:
    """SpaceToDepth, the inverse of DepthToSpace in its first order."""
    x, size = call[0], call.number("blocksize", 1)
    batch, channels, height, width = x.shape
    moved = x.reshape(batch, channels, height // size, size, width // size, size).permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(batch, channels * size**2, height // size, width // size)


MOVEMENT: Mapping[str, Operator] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Identity": unary(lambda x: x),
    "Pad": pad,
    "Reshape": reshape,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
