"""Normalizations: by given statistics or of each channel by itself, or over channels, which then stay."""

from __future__ import annotations

from graphopt.coupling.rules.elementwise import line_up
from graphopt.coupling.rules.reduction import along
from graphopt.coupling.site import Site

OVER_IT = "normalizes over it"


def batch_normalization(site: Site) -> None:
    """X[n, c, …] and one scale, bias, mean and variance a channel (ONNX operator spec, BatchNormalization-15)."""
    if site.node.attributes.get_int("training_mode", 0) or len(site.outputs) > 1:
        return site.freeze_all("normalizes by statistics of the batch")
    for axis in range(site.data.rank):
        site.tie(site.data, axis, site.result, axis)
    for operand in site.inputs[1:]:
        site.tie(operand, 0, site.result, 1)
    return None


def instance_normalization(site: Site) -> None:
    """Compute each channel by itself, with its own scale and bias (ONNX operator spec, InstanceNormalization-6)."""
    along(site, range(2, site.data.rank))
    for operand in site.inputs[1:]:
        site.tie(operand, 0, site.result, 1)


def group_normalization(site: Site) -> None:
    """Freeze the channels, which are counted by group (ONNX operator spec, GroupNormalization-21)."""
    along(site, range(1, site.data.rank))
    for operand in site.inputs[1:]:
        site.freeze_from(operand, 0, OVER_IT)


def layer_normalization(site: Site) -> None:
    """Freeze the axes from `axis` on; scale and bias broadcast (ONNX operator spec, LayerNormalization-17)."""
    first = site.axis(-1)
    along(site, range(first, site.data.rank))
    for operand in site.inputs[1:]:
        if operand is not None:
            line_up(site, operand, site.result)


def local_response(site: Site) -> None:
    """Freeze the channels, each of which is divided by its neighbours (ONNX operator spec, LRN-13)."""
    along(site, {1})


def mean_variance(site: Site) -> None:
    """Freeze the axes that it normalizes (ONNX operator spec, MeanVarianceNormalization-13)."""
    along(site, {axis % site.data.rank for axis in site.node.attributes.get_ints("axes", (0, 2, 3))})
