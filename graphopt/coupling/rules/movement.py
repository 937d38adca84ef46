"""Operators that move or repeat whole axes, and those that move channels into space and back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.groups import IntArray
from graphopt.coupling.operands import integers, is_given, write_integers
from graphopt.coupling.rules.elementwise import line_up
from graphopt.coupling.site import Operand, Site

OPERAND = 1  # the input that holds axes, a shape or repeats
_AXES_ARE_INPUT = 13
"""The opset in which Squeeze takes the axes as an input; before, they are an attribute."""


def transpose(site: Site) -> None:
    """Tie axis `perm[i]` to axis i; without `perm` the axes turn around (ONNX operator spec, Transpose-13)."""
    order = site.node.attributes.get_ints("perm", range(site.data.rank)[::-1])
    for axis, source in enumerate(order):
        site.tie(site.data, source, site.result, axis)


def squeeze(site: Site) -> None:
    """Tie the axes that stay; without `axes` those of size 1 go (ONNX operator spec, Squeeze-13)."""
    axes = site.integers("axes", OPERAND)
    if axes is None:
        if is_given(site.node, "axes", OPERAND) or site.data.sizes is None:
            return site.freeze_all("drops axes that are not known")
        axes = [axis for axis, size in enumerate(site.data.shape) if size == 1]
    return _insert(site, site.result, site.data, axes)


def adjust_squeeze(node: ir.Node, cut: Cut) -> None:
    """Name the axes that go, where all of size 1 do: one that shrinks may become 1."""
    data = node.inputs[0]
    if is_given(node, "axes", OPERAND) or data is None or data.shape is None or not cut.of_operand(node, 0):
        return
    axes = [axis for axis, size in enumerate(data.shape) if size == 1]
    if cut.opset < _AXES_ARE_INPUT:
        node.attributes["axes"] = ir.AttrInt64s("axes", axes)
    else:
        cut.give(node, OPERAND, np.array(axes, np.int64))


def unsqueeze(site: Site) -> None:
    """Tie the axes that there were (ONNX operator spec, Unsqueeze-13)."""
    axes = site.integers("axes", OPERAND)
    if axes is None:
        return site.freeze_all("adds axes that are not known")
    return _insert(site, site.data, site.result, axes)


def expand(site: Site) -> None:
    """Tie what is not repeated; what is may be repeated less often (ONNX operator spec, Expand-13)."""
    if site.constant(OPERAND) is None:
        return site.freeze_all("computes its shape")
    return line_up(site, site.data, site.result)


def adjust_expand(node: ir.Node, cut: Cut) -> None:
    """Write the new sizes into the shape constant; a 1 takes the input's."""
    sizes, result = integers(node, "shape", OPERAND), node.outputs[0]
    if sizes is None or result.shape is None:
        return
    missing = len(result.shape) - len(sizes)
    leaving = [cut.of(result, axis + missing).size for axis in range(len(sizes))]
    changed = [size - fewer if size != 1 else 1 for size, fewer in zip(sizes, leaving, strict=True)]
    if changed != sizes:
        write_integers(node, "shape", OPERAND, changed, cut)


def tile(site: Site) -> None:
    """Tie the axes that are there once (ONNX operator spec, Tile-13)."""
    repeats = site.integers("repeats", OPERAND)
    if repeats is None:
        return site.freeze_all("computes how often it repeats")
    for axis, count in enumerate(repeats):
        if count == 1:
            site.tie(site.data, axis, site.result, axis)
        else:
            for operand in (site.data, site.result):
                site.freeze(operand, axis, "repeats it")
    return None


def depth_to_space(site: Site) -> None:
    """Tie each channel to those that its blocks were (ONNX operator spec, DepthToSpace-13)."""
    count = site.node.attributes.get_int("blocksize", 1) ** 2
    made = site.result.shape[1]
    if not isinstance(made, int):
        return site.freeze_all("makes an unknown number of channels")
    read = np.arange(made * count)
    columns = site.node.attributes.get_string("mode", "DCR") == "DCR"
    return _blocks(site, site.data, site.result, read % made if columns else read // count)


def space_to_depth(site: Site) -> None:
    """Tie each channel to those that its blocks become (ONNX operator spec, SpaceToDepth-13)."""
    count = site.node.attributes.get_int("blocksize", 1) ** 2
    read = site.data.shape[1]
    if not isinstance(read, int):
        return site.freeze_all("reads an unknown number of channels")
    return _blocks(site, site.result, site.data, np.arange(read * count) % read)


def _blocks(site: Site, deep: Operand, wide: Operand, channels: IntArray) -> None:
    site.tie(deep, 0, wide, 0)
    site.tie(deep, 1, wide, 1, at=(np.arange(channels.size), channels))
    for operand in (deep, wide):
        site.freeze_from(operand, 2, "moves channels along it")


def _insert(site: Site, fewer: Operand, more: Operand, axes: list[int]) -> None:
    """Tie two values of which one has further axes."""
    added = {axis % more.rank for axis in axes}
    for axis, other in enumerate(axis for axis in range(more.rank) if axis not in added):
        site.tie(fewer, axis, more, other)
