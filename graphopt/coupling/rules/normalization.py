"""Normalizations: each channel by itself, or over all of them."""

from __future__ import annotations

from graphopt.coupling.site import Site


def batch_normalization(site: Site) -> None:
    """X[n, c, …] and one scale, bias, mean and variance a channel (ONNX operator spec, BatchNormalization-15)."""
    if site.node.attributes.get_int("training_mode", 0) or len(site.outputs) > 1:
        return site.freeze_all("normalizes by statistics of the batch")
    for axis in range(site.data.rank):
        site.tie(site.data, axis, site.result, axis)
    for operand in site.inputs[1:]:
        site.tie(operand, 0, site.result, 1)
    return None
