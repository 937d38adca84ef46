"""QuantizeLinear and DequantizeLinear: elementwise, with one scale for all or one a channel."""

from __future__ import annotations

from graphopt.coupling.rules.elementwise import unary
from graphopt.coupling.site import Site


def quantization(site: Site) -> None:
    """Tie scales and zero points of an axis to it (ONNX operator spec, DequantizeLinear-21)."""
    scale = site.inputs[1]
    if scale is None or scale.rank > 1:
        return site.freeze_all("scales blocks")
    unary(site)
    for operand in site.inputs[1:]:
        if operand is not None and operand.rank == 1 and operand.shape != (1,):
            site.tie(operand, 0, site.data, site.axis(1))
    return None
