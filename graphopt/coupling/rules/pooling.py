"""Pools: each channel by itself, along the others."""

from __future__ import annotations

from graphopt.coupling.site import Site


def sample(site: Site) -> None:
    """Tie the channels; along the others it samples anywhere (ONNX operator spec, GridSample-20, RoiAlign-16)."""
    site.tie(site.data, 1, site.result, 1)
    for operand in site.operands():
        for axis in range(operand.rank):
            if axis != 1 or operand not in (site.data, site.result):
                site.freeze(operand, axis, "samples along it")


def pool(site: Site) -> None:
    """X[n, c, …], Y[n, c, …] (ONNX operator spec, AveragePool, MaxPool, GlobalAveragePool and their kin)."""
    if len(site.outputs) > 1:
        return site.freeze_all("counts positions through all channels")
    for axis in (0, 1):
        site.tie(site.data, axis, site.result, axis)
    site.freeze_from(site.data, 2, "pools along it")
    return site.freeze_from(site.result, 2, "pools along it")
