"""Conv and ConvTranspose: plain, grouped, depthwise."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.site import Operand, Site

SLIDES = "slides along it"


def conv(site: Site) -> None:
    """X[n, c, …], W[m, c / group, …], B[m], Y[n, m, …] (ONNX operator spec, Conv-11)."""
    weight, groups = site.inputs[1], site.node.attributes.get_int("group", 1)
    if weight is None or (sizes := weight.sizes) is None:
        return site.freeze_all("convolves with a weight of unknown shape")
    _slide(site, weight)
    site.tie(weight, 0, site.result, 1)
    site.tie(site.input(2), 0, site.result, 1)
    made, width = np.arange(sizes[0]), sizes[1]
    if groups == 1:
        site.tie(site.data, 1, weight, 1)
        return site.multiplies(1, makes=0, sums=1)
    if width == 1:
        return site.tie(site.data, 1, site.result, 1, at=(made // (made.size // groups), made))
    read = np.arange(groups * width)
    site.tie(site.data, 1, weight, 1, at=(read, read % width))
    site.tie(site.result, 1, site.result, 1, at=(made, made % (made.size // groups)))
    return site.multiplies(1, makes=0, sums=1)


def conv_transpose(site: Site) -> None:
    """X[n, c, …], W[c, m / group, …], B[m], Y[n, m, …] (ONNX operator spec, ConvTranspose-11)."""
    weight, groups = site.inputs[1], site.node.attributes.get_int("group", 1)
    if weight is None or (sizes := weight.sizes) is None:
        return site.freeze_all("convolves with a weight of unknown shape")
    _slide(site, weight)
    site.tie(site.data, 1, weight, 0)
    site.tie(site.input(2), 0, site.result, 1)
    read, width = np.arange(sizes[0]), sizes[1]
    made = np.arange(groups * width)
    if groups > 1 and read.size == groups:
        site.freeze(weight, 1, "loses whole groups alone")
        return site.tie(site.data, 1, site.result, 1, at=(made // width, made))
    site.tie(weight, 1, site.result, 1, at=(made % width, made))
    site.tie(weight, 0, weight, 0, at=(read, read % (read.size // groups)))
    return site.multiplies(1, makes=1, sums=0)


def _slide(site: Site, weight: Operand) -> None:
    site.tie(site.data, 0, site.result, 0)
    for operand in (site.data, weight, site.result):
        site.freeze_from(operand, 2, SLIDES)


def adjust(node: ir.Node, cut: Cut) -> None:
    """Count the groups of a depthwise convolution anew: with the channels of its input, whole groups leave."""
    groups, data, weight = node.attributes.get_int("group", 1), node.inputs[0], node.inputs[1]
    if groups > 1 and data is not None and weight is not None and data.shape is not None and data.shape[1] == groups:
        node.attributes["group"] = ir.AttrInt64("group", groups - cut.of(data, 1).size)
