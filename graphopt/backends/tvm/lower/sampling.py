"""Where Resize reads (ONNX operator spec, Resize-19; Upsample-9): which inputs make an output along one axis.

An output t stands at x(t) in the coordinates of the input, by one of several formulas. `nearest` takes the input that
x(t) is rounded to, `linear` the two around it in proportion; beyond the border the input goes on as it ends. All of it
is known at compile time, and computed in float32, as onnxruntime does, so that both round alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.backends.tvm.lower.importer import opset
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import shape_of
from graphopt.ir.constants import constant
from graphopt.tensors import Array

Reals = npt.NDArray[np.float32]
_FIRST_WITH_MODES = 11
"""The opset since which a Resize says how coordinates are transformed; before, as Upsample, it had one way."""


@dataclass(frozen=True)
class Sampling:
    """What outputs along an axis are made of.

    Attributes:
        inputs: extent of the input.
        places: int32 [outputs, taps], the inputs that each output reads.
        weights: float32 of the same shape, of each tap.

    """

    inputs: int
    places: Array
    weights: Array

    @property
    def is_identity(self) -> bool:
        """Whether each output is the input at its own place."""
        return self.repeats == 1

    @property
    def repeats(self) -> int:
        """How often each input is an output, one after the other; 0 where it is not that simple."""
        outputs, taps = self.places.shape
        factor, rest = divmod(outputs, self.inputs)
        if taps > 1 or rest:
            return 0
        return factor if np.array_equal(self.places[:, 0], np.arange(outputs) // factor) else 0


@dataclass(frozen=True)
class _Axis:
    """One axis of a Resize: its extents, the scale between them, the part of the input that is resized."""

    inputs: int
    outputs: int
    scale: np.float32
    start: np.float32
    end: np.float32


Transformation = Callable[[Reals, _Axis], Reals]
"""Returns where outputs stand among the inputs."""
Rounding = Callable[[Reals, np.float32], Reals]
"""Returns the inputs nearest to places, given the scale."""


def samplings_of(node: ir.Node) -> list[Sampling]:
    """Return the sampling of each axis of a Resize or an Upsample.

    Raises:
        RefusalError: it is cubic or antialiased, its scales, sizes or region are not constant, or it extrapolates.

    """
    attributes = node.attributes
    modern = node.op_type == "Resize" and opset(node) >= _FIRST_WITH_MODES
    mode = attributes.get_string("mode", "nearest")
    transformation = attributes.get_string("coordinate_transformation_mode", "half_pixel") if modern else "asymmetric"
    rounding = attributes.get_string("nearest_mode", "round_prefer_floor") if modern else "simple"
    if attributes.get_int("antialias", 0) or mode not in {"nearest", "linear"}:
        raise RefusalError("it is antialiased or cubic")
    round_ = _ROUNDINGS[rounding] if mode == "nearest" else None
    return [_sampling(axis, _TRANSFORMATIONS[transformation], round_) for axis in _axes(node, modern=modern)]


def _sampling(axis: _Axis, transform: Transformation, round_: Rounding | None) -> Sampling:
    """Sample one axis; `round_` is of mode nearest. One whose scale is 1 stays whole, whatever its region."""
    if axis.scale == 1 and axis.inputs == axis.outputs:
        return _nearest(np.arange(axis.inputs), axis.inputs)
    at = transform(np.arange(axis.outputs, dtype=np.float32), axis)
    if transform is _crop and (at.min() < 0 or at.max() > axis.inputs - 1):
        raise RefusalError("it extrapolates")
    return _linear(at, axis.inputs) if round_ is None else _nearest(round_(at, axis.scale), axis.inputs)


def _nearest(at: Array, inputs: int) -> Sampling:
    places = np.clip(at, 0, inputs - 1).astype(np.int32)[:, np.newaxis]
    return Sampling(inputs, places, np.ones(places.shape, np.float32))


def _linear(at: Reals, inputs: int) -> Sampling:
    inside = np.clip(at, np.float32(0), np.float32(inputs - 1))
    first = np.floor(inside).astype(np.int32)
    second = np.minimum(first + 1, inputs - 1)
    ahead = inside - first.astype(np.float32)
    if not ahead.any():
        return _nearest(first, inputs)
    return Sampling(inputs, np.stack([first, second], 1), np.stack([np.float32(1) - ahead, ahead], 1))


def _axes(node: ir.Node, *, modern: bool) -> list[_Axis]:
    """Read extents, scales and the region of each axis of the data; those that are not named stay as they are."""
    data = node.inputs[0]
    if data is None:
        raise RefusalError("it has no input")
    inputs, outputs = shape_of(data), shape_of(node.outputs[0])
    rank = len(inputs)
    named = [axis % rank for axis in node.attributes.get_ints("axes", range(rank))]
    scales = _scales(node, [inputs[axis] for axis in named], modern=modern)
    region = _operand(node, 1) if modern else None
    starts, ends = (np.zeros(len(named)), np.ones(len(named))) if region is None else np.split(region, 2)
    if not len(scales) == len(starts) == len(ends) == len(named) or len(outputs) != rank:
        raise RefusalError("its scales, sizes or region do not have one number an axis")
    found = {
        axis: _Axis(inputs[axis], outputs[axis], *map(np.float32, numbers))
        for axis, *numbers in zip(named, scales, starts, ends, strict=True)
    }
    whole = np.float32(1), np.float32(0), np.float32(1)
    return [found.get(axis, _Axis(inputs[axis], outputs[axis], *whole)) for axis in range(rank)]


def _scales(node: ir.Node, inputs: Sequence[int], *, modern: bool) -> Array:
    """Return the scale of each axis that is named, from the scales or the sizes that are wanted."""
    scales = _operand(node, 2 if modern else 1)
    if scales is None and "scales" in node.attributes:
        scales = np.array(node.attributes.get_floats("scales"), np.float32)
    if scales is not None:
        return scales
    sizes = _operand(node, 3)
    if sizes is None or len(sizes) != len(inputs):
        raise RefusalError("it has neither scales nor sizes of its axes")
    each = sizes.astype(np.float32) / np.array(inputs, np.float32)
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    return each if policy == "stretch" else np.full_like(each, each.min() if policy == "not_larger" else each.max())


def _operand(node: ir.Node, index: int) -> Array | None:
    """Return a constant operand, None where it is not given or has no elements."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return None
    array = constant(value)
    if array is None:
        raise RefusalError(f"{value.name!r} is no constant")
    return array if array.size else None


def _half_pixel(t: Reals, axis: _Axis) -> Reals:
    return (t + np.float32(0.5)) / axis.scale - np.float32(0.5)


def _half_pixel_symmetric(t: Reals, axis: _Axis) -> Reals:
    """Transform as `_half_pixel` about the middle, where scaling rounds the extent of the output down."""
    adjustment = np.float32(axis.outputs) / (axis.scale * np.float32(axis.inputs))
    offset = np.float32(axis.inputs) / np.float32(2) * (np.float32(1) - adjustment)
    return offset + (t + np.float32(0.5)) / axis.scale - np.float32(0.5)


def _align_corners(t: Reals, axis: _Axis) -> Reals:
    return t * np.float32(axis.inputs - 1) / np.float32(max(1, axis.outputs - 1))


def _crop(t: Reals, axis: _Axis) -> Reals:
    last = np.float32(axis.inputs - 1)
    if axis.outputs == 1:
        return np.float32(0.5) * (axis.start + axis.end) * last + t
    return axis.start * last + t * (axis.end - axis.start) * last / np.float32(axis.outputs - 1)


_TRANSFORMATIONS: Mapping[str, Transformation] = {
    "align_corners": _align_corners,
    "asymmetric": lambda t, axis: t / axis.scale,
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": lambda t, axis: _half_pixel(t, axis) if axis.outputs > 1 else t,
    "tf_crop_and_resize": _crop,
    "tf_half_pixel_for_nn": lambda t, axis: (t + np.float32(0.5)) / axis.scale,
}
_ROUNDINGS: Mapping[str, Rounding] = {
    "ceil": lambda at, _: np.ceil(at),
    "floor": lambda at, _: np.floor(at),
    "round_prefer_ceil": lambda at, _: np.floor(at) + (at - np.floor(at) >= np.float32(0.5)),
    "round_prefer_floor": lambda at, _: np.floor(at) + (at - np.floor(at) > np.float32(0.5)),
    "simple": lambda at, scale: np.ceil(at) if scale < 1 else np.floor(at),
}
