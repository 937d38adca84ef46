"""Resize and Upsample: channels stay where they are, sizes that are given by number are written anew."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.operands import integers, write_integers
from graphopt.coupling.site import Site
from graphopt.ir.constants import constant

_ALIGNED = frozenset({"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners"})
"""Modes in which a scale of 1 leaves every element where it is."""
_SIZES = 3
_SCALES_BEHIND_ROI = 11
"""The opset from which the scales are the third input, behind `roi`; before, they are the second."""


def resize(site: Site) -> None:
    """Tie the axes whose scale is 1 (ONNX operator spec, Resize-19, Upsample-9)."""
    attributes = site.node.attributes
    mode = attributes.get_string("coordinate_transformation_mode", "asymmetric")
    stretched = attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    whole = _unscaled(site) if mode in _ALIGNED and stretched else None
    if whole is None:
        return site.freeze_all("resizes it by what is not known")
    for axis in range(site.data.rank):
        if axis in whole:
            site.tie(site.data, axis, site.result, axis)
        else:
            for operand in (site.data, site.result):
                site.freeze(operand, axis, "resizes it")
    return None


def adjust(node: ir.Node, cut: Cut) -> None:
    """Write the sizes anew, where they are given by number."""
    sizes, result = integers(node, "sizes", _SIZES), node.outputs[0]
    if not sizes or result.shape is None:
        return
    axes = _axes(node, len(result.shape))
    changed = [size - cut.of(result, axis).size for axis, size in zip(axes, sizes, strict=True)]
    if changed != sizes:
        write_integers(node, "sizes", _SIZES, changed, cut)


def _unscaled(site: Site) -> set[int] | None:
    """Return the axes that stay as they are; None where that is not known."""
    axes, rank = _axes(site.node, site.data.rank), site.data.rank
    others = set(range(rank)) - set(axes)
    at = 2 if site.opset >= _SCALES_BEHIND_ROI else 1
    scales = constant(site.node.inputs[at]) if len(site.node.inputs) > at else None
    if "scales" in site.node.attributes:
        given = list(site.node.attributes.get_floats("scales"))
    else:
        given = [] if scales is None else scales.ravel().tolist()
    if given:
        return others | {axis for axis, scale in zip(axes, given, strict=True) if scale == 1}
    sizes = site.integers("sizes", _SIZES)
    if not sizes:
        return None
    return others | {axis for axis, size in zip(axes, sizes, strict=True) if site.data.shape[axis] == size}


def _axes(node: ir.Node, rank: int) -> list[int]:
    return [axis % rank for axis in node.attributes.get_ints("axes", range(rank))]
