"""Resize: along each axis the output is a matrix times the input, whatever the mode."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call

Float64 = npt.NDArray[np.float64]


def resize(call: Call) -> Tensor:
    """Resize (ONNX operator spec, Resize-19); the only input beside x is that of the scales in opset 10."""
    x = call[0]
    scales, sizes = call.get(1 if call.opset < 11 else 2), call.listed(3)
    axes = [axis % x.ndim for axis in call.ints("axes") or range(x.ndim)]
    if sizes:
        sizes, factors = _sized(call, x, axes, sizes)
    else:
        factors = [] if scales is None else scales.reshape(-1).tolist()
        sizes = [math.floor(x.shape[axis] * factor) for axis, factor in zip(axes, factors, strict=True)]
    for axis, size, factor in zip(axes, sizes, factors, strict=True):
        if size != x.shape[axis] or factor != 1:
            x = _along(call, x, axis, size, factor)
    return x


def upsample(call: Call) -> Tensor:
    """Upsample, the Resize of opset 7 to 9, by `asymmetric` places."""
    x = call[0]
    scales = call.node.attributes.get_floats("scales", []) or call[1].reshape(-1).tolist()
    for axis, factor in enumerate(scales):
        if factor != 1:
            x = _along(call, x, axis, math.floor(x.shape[axis] * factor), factor)
    return x


def refuse_resize(node: ir.Node) -> str | None:
    """Return what a Resize asks for that has no matrix here."""
    if node.attributes.get_int("antialias", 0):
        return "with antialias"
    if node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        return "with tf_crop_and_resize"
    return None


def _sized(call: Call, x: Tensor, axes: list[int], sizes: list[int]) -> tuple[list[int], list[float]]:
    """Return sizes and scales; one scale serves all axes where the aspect ratio is to be kept."""
    factors = [size / x.shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, factors
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [math.floor(factor * x.shape[axis] + 0.5) for axis in axes], [factor] * len(axes)


def _along(call: Call, x: Tensor, axis: int, size: int, factor: float) -> Tensor:
    places = _places(call, x.shape[axis], size, factor)
    mode = call.text("mode", "nearest")
    if mode == "nearest":
        return x.index_select(axis, torch.from_numpy(_nearest(call, places, x.shape[axis])))
    taps = _linear_taps(places) if mode == "linear" else _cubic_taps(places, call.real("cubic_coeff_a", -0.75))
    matrix = _matrix(taps, x.shape[axis], bool(call.number("exclude_outside", 0)) and mode == "cubic")
    moved = x.movedim(axis, -1) @ torch.from_numpy(matrix.T).to(x.dtype)
    return moved.movedim(-1, axis)


def _places(call: Call, length: int, size: int, factor: float) -> Float64:
    """Return where each output element lies among the input's (`coordinate_transformation_mode`)."""
    out = np.arange(size, dtype=np.float64)
    default = "half_pixel" if call.opset >= 11 else "asymmetric"
    match call.text("coordinate_transformation_mode", default):
        case "asymmetric":
            return out / factor
        case "align_corners":
            return out * (length - 1) / (size - 1) if size > 1 else out * 0
        case "pytorch_half_pixel":
            return (out + 0.5) / factor - 0.5 if size > 1 else out * 0
        case "half_pixel_symmetric":
            adjustment = size / (factor * length)
            return length / 2 * (1 - adjustment) + (out + 0.5) / factor - 0.5
        case _:
            return (out + 0.5) / factor - 0.5


def _nearest(call: Call, places: Float64, length: int) -> npt.NDArray[np.int64]:
    default = "round_prefer_floor" if call.opset >= 11 else "floor"
    match call.text("nearest_mode", default):
        case "round_prefer_floor":
            chosen = np.ceil(places - 0.5)
        case "round_prefer_ceil":
            chosen = np.floor(places + 0.5)
        case "ceil":
            chosen = np.ceil(places)
        case _:
            chosen = np.floor(places)
    return np.clip(chosen, 0, length - 1).astype(np.int64)


def _linear_taps(places: Float64) -> list[tuple[Float64, Float64]]:
    """Return, for each of two neighbours, its place and its weight."""
    first = np.floor(places)
    share = places - first
    return [(first, 1 - share), (first + 1, share)]


def _cubic_taps(places: Float64, a: float) -> list[tuple[Float64, Float64]]:
    """Return the same for the four neighbours of cubic convolution (Keys 1981)."""
    first = np.floor(places)
    taps = []
    for step in (-1, 0, 1, 2):
        d = np.abs(places - first - step)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        taps.append((first + step, np.where(d <= 1, near, far)))
    return taps


def _matrix(taps: list[tuple[Float64, Float64]], length: int, excludes: bool) -> Float64:
    """Sum the taps up, [size, length]; what lies outside is the border, or left out and the rest scaled."""
    size = len(taps[0][0])
    matrix = np.zeros((size, length))
    for places, weights in taps:
        inside = (places >= 0) & (places < length)
        kept = np.where(inside, weights, 0.0) if excludes else weights
        np.add.at(matrix, (np.arange(size), np.clip(places, 0, length - 1).astype(np.int64)), kept)
    return matrix / matrix.sum(1, keepdims=True) if excludes else matrix
