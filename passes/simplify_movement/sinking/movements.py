"""How operators that move data run on inputs that are not transposed yet; see `layouts`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphopt.ir.constants import constant
from graphopt.ir.dims import same_dim
from passes.simplify_movement.facts import dims, has_setting, input_of, integers, inverse, rank
from passes.simplify_movement.sinking.place import Move, Place, left

_IMAGE_AXES = 2
"""Kernels resize the axes after batch and channels: no other order is sure to have one."""


def pad(place: Place) -> Move | None:
    """Pad: a begin and an end for each axis, or for the axes it names."""
    pads, ndim = integers(place.node, "pads", 1), len(place.perm)
    if pads is None or place.transposed != {0}:
        return None
    if input_of(place.node, 3) is not None:
        axes = integers(place.node, "axes", 3)
        moved = None if axes is None else np.array([place.moved(axis) for axis in axes], np.int64)
        return None if moved is None else Move(place.perm, constants={3: moved})
    if len(pads) != 2 * ndim:
        return None
    order = inverse(place.perm)
    before = [*(pads[axis] for axis in order), *(pads[ndim + axis] for axis in order)]
    if "pads" in place.node.attributes:
        return Move(place.perm, {"pads": before})
    return Move(place.perm, constants={1: np.array(before, np.int64)})


def cut(place: Place) -> Move | None:
    """Slice, along the axes that it names."""
    starts = integers(place.node, "starts", 1)
    given = has_setting(place.node, "axes", 3)
    axes = integers(place.node, "axes", 3) if given else None if starts is None else tuple(range(len(starts)))
    if axes is None or place.transposed != {0}:
        return None
    moved = [place.moved(axis) for axis in axes]
    if "starts" in place.node.attributes:
        return Move(place.perm, {"axes": moved})
    return Move(place.perm, constants={3: np.array(moved, np.int64)})


def gather(place: Place) -> Move | None:
    """Gather: a list of indices keeps its axis, one index drops it."""
    indices, axis = rank(input_of(place.node, 1)), place.node.attributes.get_int("axis", 0)
    if place.transposed != {0} or indices not in (0, 1):
        return None
    return Move(left(place, [axis], keeps=indices == 1), {"axis": place.moved(axis)})


def tile(place: Place) -> Move | None:
    """Tile: a number of repeats for each axis."""
    repeats = integers(place.node, "repeats", 1)
    if repeats is None or place.transposed != {0} or len(repeats) != len(place.perm):
        return None
    return Move(place.perm, constants={1: _before(repeats, place)})


def expand(place: Place) -> Move | None:
    """Expand: a size for each of the last axes, where 1 keeps what is there."""
    target, ndim = integers(place.node, "shape", 1), len(place.perm)
    if target is None or place.transposed != {0} or len(target) > ndim:
        return None
    return Move(place.perm, constants={1: _before([1] * (ndim - len(target)) + list(target), place)})


def unsqueeze(place: Place) -> Move | None:
    """Unsqueeze: what it puts in stays where it is, and the other axes are permuted around it."""
    axes = integers(place.node, "axes", 1)
    if axes is None or place.transposed != {0}:
        return None
    ndim = len(place.perm) + len(axes)
    new = {axis % ndim for axis in axes}
    old = [axis for axis in range(ndim) if axis not in new]
    perm = list(range(ndim))
    for axis, source in zip(old, place.perm, strict=True):
        perm[axis] = old[source]
    return Move(tuple(perm))


def resize(place: Place) -> Move | None:
    """Resize by constants: a scale or a size for each axis, if it then is one of the axes after the first two."""
    crops = place.node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if place.transposed != {0} or "axes" in place.node.attributes or crops:
        return None
    for index in range(1, len(place.node.inputs)):
        numbers = constant(input_of(place.node, index))
        if numbers is None or len(numbers) != len(place.perm):
            continue
        moved = numbers[list(inverse(place.perm))]
        return Move(place.perm, constants={index: moved}) if _resizes_image(place) else None
    return None


def _resizes_image(place: Place) -> bool:
    """Whether what stands for batch and channels before the Transpose keeps its size."""
    before, after = dims(place.node.inputs[0]), dims(place.node.outputs[0])
    if before is None or after is None:
        return False
    return all(same_dim(before[axis], after[axis]) for axis in inverse(place.perm)[:_IMAGE_AXES])


def _before(numbers: Sequence[int], place: Place) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Put one number for each axis in the order before the Transpose."""
    return np.array([numbers[axis] for axis in inverse(place.perm)], np.int64)
