"""Conditions under which an operator does nothing, one a function."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dims import same_shape
from graphopt.tensors import Array

Condition = Callable[[ir.Node], bool]

# Coordinate modes of Resize that map every point to itself where the size stays.
_STEADY_MODES = frozenset({"align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"})
_MODERATE = np.float32(1e30)
_TO_THE_END = 2**31 - 1  # what exporters write for the end of any axis


def always(_: ir.Node) -> bool:
    """Whether anything is: Identity does nothing, ever."""
    return True


def casts_to_own_type(node: ir.Node) -> bool:
    """Whether a Cast is to the type that the input has, or a CastLike of two values of one type."""
    (data, *like), own = node.inputs, node.inputs[0].dtype if node.inputs[0] else None
    if own is None or data is None:
        return False
    target = like[0].dtype if like and like[0] else node.attributes.get_int("to", 0)
    return own == target


def keeps_shape(node: ir.Node) -> bool:
    """Whether the first output has the shape of the first input."""
    return same_shape(node.inputs[0], node.outputs[0])


def integers_are(name: str, index: int, allowed: Collection[int]) -> Condition:
    """Return whether an attribute of old opsets, or the input that took its place, holds allowed integers only."""

    def condition(node: ir.Node) -> bool:
        found = _integers(node, name, index)
        return found is not None and all(number in allowed for number in found)

    return condition


def reshapes_to_own_shape(node: ir.Node) -> bool:
    """Whether each entry of the target is the input's dimension; one more may be -1, and is what is left."""
    target, data = _integers(node, "shape", 1), node.inputs[0]
    if target is None or data is None or data.shape is None or len(target) != len(data.shape):
        return False
    copies = not node.attributes.get_int("allowzero", 0)
    own = [entry == dim or (entry == 0 and copies) for entry, dim in zip(target, data.shape, strict=True)]
    return all(own) or (own.count(False) == 1 and target[own.index(False)] == -1)


def flattens_a_matrix(node: ir.Node) -> bool:
    """Whether [a, b] is flattened at axis 1, into [a, b]."""
    data = node.inputs[0]
    matrix = data is not None and data.shape is not None and len(data.shape) == 2
    return matrix and node.attributes.get_int("axis", 1) in (1, -1)


def expands_by_ones(node: ir.Node) -> bool:
    """Whether the target is all ones, and no longer than the input's shape."""
    target, data = _integers(node, "shape", 1), node.inputs[0]
    if target is None or data is None or any(entry != 1 for entry in target):
        return False
    return not target or (data.shape is not None and len(target) <= len(data.shape))


def transposes_nothing(node: ir.Node) -> bool:
    """Whether the permutation is the identity, as every one of a vector is."""
    permutation = _integers(node, "perm", 1)
    if permutation is not None:
        return permutation == sorted(permutation)
    data = node.inputs[0]
    return data is not None and data.shape is not None and len(data.shape) <= 1


def slices_everything(node: ir.Node) -> bool:
    """Whether every step is forward, and each axis goes from its start to its end, or keeps its length."""
    steps = _integers(node, "steps", 4) if _has(node, 4) else [1]
    if steps is None or any(step < 1 for step in steps):
        return False
    starts, ends = _integers(node, "starts", 1), _integers(node, "ends", 2)
    whole = starts is not None and not any(starts) and ends is not None and all(end >= _TO_THE_END for end in ends)
    return (whole and set(steps) == {1}) or keeps_shape(node)


def has_one_input(node: ir.Node) -> bool:
    """Whether a combination is of one."""
    return len(node.inputs) == 1


def has_one_output(node: ir.Node) -> bool:
    """Whether a split is into one."""
    return len(node.outputs) == 1


def has_unit_blocks(node: ir.Node) -> bool:
    """Whether blocks are of one element, which stays in place."""
    return node.attributes.get_int("blocksize", 0) == 1


def resizes_to_own_size(node: ir.Node) -> bool:
    """Whether all scales are 1, or the sizes are the input's own, and a coordinate maps to itself.

    Equal shapes alone do not tell: a scale of 1.1 leaves 5 elements 5, and blurs them.
    """
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") not in _STEADY_MODES:
        return False
    scales = 2 if len(node.inputs) > 2 else 1  # Resize-10 has no region of interest
    if _has(node, scales) and not _is_empty(node, scales):
        return _all_ones(node, scales)
    stretches = node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    return _has(node, 3) and stretches and keeps_shape(node)


def upsamples_by_ones(node: ir.Node) -> bool:
    """Whether all scales are 1."""
    if "scales" in node.attributes:
        return all(scale == 1 for scale in node.attributes["scales"].as_floats())
    return _all_ones(node, 1)


def pools_one_element(node: ir.Node) -> bool:
    """Whether windows are one element wide, one apart, and none lies in a padding."""
    pads = node.attributes.get_ints("pads", ())
    window = (*node.attributes.get_ints("kernel_shape", ()), *node.attributes.get_ints("strides", ()))
    return all(size == 1 for size in window) and not any(pads)


def is_unbounded(node: ir.Node) -> bool:
    """Whether a Clip has neither a minimum nor a maximum."""
    absent = all(value is None for value in node.inputs[1:])
    return absent and not {"min", "max"} & set(node.attributes)


def rounds_as(node: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes round alike: by the same scales, along the same axis, and zero points, all given.

    A float32 that is far from what overflows or underflows tells integers of 16 bits apart.
    """
    (scale, zero), others = _parameters(node), _parameters(other)
    if scale is None or zero is None or scale.dtype != np.float32 or zero.dtype.itemsize > 2:
        return False
    same = all(_is_equal(mine, theirs) for mine, theirs in zip((scale, zero), others, strict=True))
    return same and _lie(node) == _lie(other) and bool(np.all((scale > 1 / _MODERATE) & (scale < _MODERATE)))


def _parameters(node: ir.Node) -> tuple[Array | None, Array | None]:
    """Return the scales and zero points of a QuantizeLinear or DequantizeLinear, where they are constant."""
    scale, zero = (constant(node.inputs[index]) if _has(node, index) else None for index in (1, 2))
    return scale, zero


def _lie(node: ir.Node) -> tuple[int, int]:
    """Return which axis they lie along, and for blocks of how many elements."""
    return node.attributes.get_int("axis", 1), node.attributes.get_int("block_size", 0)


def _is_equal(first: Array, second: Array | None) -> bool:
    return second is not None and first.dtype == second.dtype and np.array_equal(first, second)


def _has(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _is_empty(node: ir.Node, index: int) -> bool:
    array = constant(node.inputs[index])
    return array is not None and not array.size


def _all_ones(node: ir.Node, index: int) -> bool:
    array = constant(node.inputs[index])
    return array is not None and bool(np.all(array == 1))


def _integers(node: ir.Node, name: str, index: int) -> list[int] | None:
    if name in node.attributes:
        return list(node.attributes[name].as_ints())
    array = constant(node.inputs[index]) if _has(node, index) else None
    return None if array is None else [int(number) for number in array.ravel()]
