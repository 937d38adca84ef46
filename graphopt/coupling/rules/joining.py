"""Concat and Split: the channels of the parts are those of the whole, one part behind the other."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.operands import is_given, write_integers
from graphopt.coupling.site import Operand, Site

SIZES = 1  # the input of Split that says how long the parts are
UNKNOWN = "joins it with a size that is not known"
_SIZES_ARE_INPUT = 13
"""The opset in which Split takes the sizes as an input; before, they are an attribute."""


def concat(site: Site) -> None:
    """Tie each input to its part of the result (ONNX operator spec, Concat-13)."""
    axis = site.axis(1)
    _join(site, site.result, [operand for operand in site.inputs if operand is not None], axis)


def split(site: Site) -> None:
    """Tie each output to its part of the input (ONNX operator spec, Split-18)."""
    axis = site.axis(0)
    if is_given(site.node, "split", SIZES) and site.integers("split", SIZES) is None:
        return site.freeze_all("computes where it splits")
    parts = [operand for operand in site.outputs if operand is not None]
    if len(parts) < len(site.outputs):
        return site.freeze_all("leaves a part out")
    return _join(site, site.data, parts, axis)


def adjust_split(node: ir.Node, cut: Cut) -> None:
    """Write how long the parts are now; parts that were equal may differ."""
    data = node.inputs[0]
    if data is None or data.shape is None:
        return
    axis = node.attributes.get_int("axis", 0) % len(data.shape)
    leaving = [cut.of(part, axis).size for part in node.outputs]
    if not any(leaving):
        return
    shapes = [part.shape for part in node.outputs if part.shape is not None]
    sizes = [size for shape in shapes if isinstance(size := shape[axis], int)]
    changed = [size - fewer for size, fewer in zip(sizes, leaving, strict=True)]
    node.attributes.pop("num_outputs", None)
    if "split" in node.attributes or cut.opset < _SIZES_ARE_INPUT:
        node.attributes["split"] = ir.AttrInt64s("split", changed)
    elif is_given(node, "split", SIZES):
        write_integers(node, "split", SIZES, changed, cut)
    else:
        cut.give(node, SIZES, np.array(changed, np.int64))


def _join(site: Site, whole: Operand, parts: list[Operand], axis: int) -> None:
    end: int | None = 0
    for part in parts:
        size = part.shape[axis]
        begin, end = end, end + size if end is not None and isinstance(size, int) else None
        for other in range(whole.rank):
            if other != axis:
                site.tie(part, other, whole, other)
        if begin is None or end is None:
            site.freeze(part, axis, UNKNOWN)
        else:
            site.tie(part, axis, whole, axis, at=(np.arange(end - begin), np.arange(begin, end)))
    if end is None:
        site.freeze(whole, axis, UNKNOWN)
