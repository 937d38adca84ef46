"""Slice, Gather and Pad: indices that are chosen by number, and numbered anew when some leave before them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.operands import integers, is_given, write_integers
from graphopt.coupling.site import Site
from graphopt.ir.constants import constant

_AXES, _STEPS, _PAD_AXES = 3, 4, 3


def slice_(site: Site) -> None:
    """Tie what is taken, in steps of one (ONNX operator spec, Slice-13)."""
    taken = _slices(site.node, site.data.rank)
    if taken is None:
        return site.freeze_all("computes what it takes")
    bounds = dict(taken)
    for axis, size in enumerate(site.data.shape):
        chosen = bounds.get(axis)
        if chosen is None:
            site.tie(site.data, axis, site.result, axis)
        elif chosen.step == 1 and isinstance(size, int):
            indices = np.arange(size)[chosen]
            site.tie(site.data, axis, site.result, axis, at=(indices, np.arange(indices.size)))
        else:
            for operand in (site.data, site.result):
                site.freeze(operand, axis, "takes it in steps")
    return None


def adjust_slice(node: ir.Node, cut: Cut) -> None:
    """Let the bounds take what they took."""
    data = node.inputs[0]
    shape = None if data is None else data.shape
    taken = None if shape is None else _slices(node, len(shape))
    if shape is None or taken is None:
        return
    starts, ends = (list(integers(node, name, index) or ()) for name, index in (("starts", 1), ("ends", 2)))
    before = (*starts, *ends)
    for number, (axis, chosen) in enumerate(taken):
        leaving, size = cut.of_operand(node, 0).get(axis), shape[axis]
        if leaving is not None and isinstance(size, int):
            first, last, _ = chosen.indices(size)
            starts[number] = first - int(np.searchsorted(leaving, first))
            ends[number] = last - int(np.searchsorted(leaving, last))
    if (*starts, *ends) != before:
        write_integers(node, "starts", 1, starts, cut)
        write_integers(node, "ends", 2, ends, cut)


def _slices(node: ir.Node, rank: int) -> list[tuple[int, slice]] | None:
    """Return what is taken along each axis that is named, in their order; None where that is computed."""
    starts, ends = integers(node, "starts", 1), integers(node, "ends", 2)
    axes, steps = integers(node, "axes", _AXES), integers(node, "steps", _STEPS)
    if starts is None or ends is None:
        return None
    if (axes is None and is_given(node, "axes", _AXES)) or (steps is None and is_given(node, "steps", _STEPS)):
        return None
    counted = [axis % rank for axis in axes or range(len(starts))]
    bounds = zip(starts, ends, steps or [1] * len(starts), strict=True)
    return [(axis, slice(*bound)) for axis, bound in zip(counted, bounds, strict=True)]


def gather(site: Site) -> None:
    """y[…, j, …] = x[…, indices[j], …], the indices a constant vector or number (ONNX operator spec, Gather-13)."""
    axis, indices, chosen = site.axis(0), site.inputs[1], site.constant(1)
    if indices is None:
        return
    for other in range(site.data.rank):
        if other != axis:
            site.tie(site.data, other, site.result, other if other < axis else other + indices.rank - 1)
    for along in range(indices.rank):
        site.tie(indices, along, site.result, axis + along)
    size = site.data.shape[axis]
    if chosen is None or indices.rank > 1 or not isinstance(size, int):
        site.freeze(site.data, axis, "chooses from it by what is not known")
        return
    numbers = np.ravel(chosen).astype(np.int64) % size
    if indices.rank == 0:
        site.freeze(site.data, axis, "takes it alone", at=numbers)
    else:
        site.tie(site.data, axis, site.result, axis, at=(numbers, np.arange(numbers.size)))


def adjust_gather(node: ir.Node, cut: Cut) -> None:
    """Give the chosen indices their new numbers; those that leave are taken out with all other constants' channels."""
    data, chosen = node.inputs[0], constant(node.inputs[1])
    if data is None or data.shape is None or chosen is None:
        return
    axis = node.attributes.get_int("axis", 0) % len(data.shape)
    leaving, size = cut.of_operand(node, 0).get(axis), data.shape[axis]
    if leaving is None or not isinstance(size, int):
        return
    numbers = chosen.astype(np.int64) % size
    cut.give(node, 1, (numbers - np.searchsorted(leaving, numbers)).astype(chosen.dtype))


def pad(site: Site) -> None:
    """Tie what is inside; constant channels that are put around it may leave too (ONNX operator spec, Pad-21)."""
    amounts = _amounts(site.node, site.data.rank)
    if amounts is None:
        return site.freeze_all("computes how much it pads")
    plain = site.node.attributes.get_string("mode", "constant") == "constant"
    padded = {axis: around for _, axis, around in amounts if around != (0, 0)}
    for axis, size in enumerate(site.data.shape):
        begin, end = padded.get(axis, (0, 0))
        if axis not in padded:
            site.tie(site.data, axis, site.result, axis)
        elif plain and min(begin, end) >= 0 and isinstance(size, int):
            inside = np.arange(size)
            site.tie(site.data, axis, site.result, axis, at=(inside, begin + inside))
        else:
            for operand in (site.data, site.result):
                site.freeze(operand, axis, "pads it by what is in it, or cuts it")
    return None


def adjust_pad(node: ir.Node, cut: Cut) -> None:
    """Pad by fewer channels where some of those leave that are put around."""
    data, result = node.inputs[0], node.outputs[0]
    shape = None if data is None else data.shape
    amounts = None if shape is None else _amounts(node, len(shape))
    pads = integers(node, "pads", 1)
    if shape is None or amounts is None or pads is None:
        return
    changed = list(pads)
    for number, axis, (begin, _) in amounts:
        leaving, size = cut.of(result, axis), shape[axis]
        if leaving.size and isinstance(size, int):
            changed[number] -= int(np.searchsorted(leaving, begin))
            changed[number + len(pads) // 2] -= int(leaving.size - np.searchsorted(leaving, begin + size))
    if changed != pads:
        write_integers(node, "pads", 1, changed, cut)


def _amounts(node: ir.Node, rank: int) -> list[tuple[int, int, tuple[int, int]]] | None:
    """Return each number in the list of pads with its axis and both amounts; None where they are computed."""
    pads, axes = integers(node, "pads", 1), integers(node, "axes", _PAD_AXES)
    if pads is None or (axes is None and is_given(node, "axes", _PAD_AXES)):
        return None
    counted = range(rank) if axes is None else [axis % rank for axis in axes]
    return [(number, axis, (pads[number], pads[number + len(counted)])) for number, axis in enumerate(counted)]
