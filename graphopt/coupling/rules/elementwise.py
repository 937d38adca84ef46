"""Operators that compute each element from those at its place: channels are as their operands'."""

from __future__ import annotations

from graphopt.coupling.site import Operand, Site


def pointwise(site: Site) -> None:
    """y[i] = f(a[i], b[i], …), broadcast (ONNX, Broadcasting in ONNX)."""
    for operand in site.inputs:
        for result in site.outputs:
            if operand is not None and result is not None:
                line_up(site, operand, result)


def unary(site: Site) -> None:
    """y[i] = f(x[i]); other operands, as of Dropout and CastLike, have no axes in common with it."""
    for result in site.outputs:
        if result is not None:
            line_up(site, site.data, result)


def line_up(site: Site, operand: Operand, result: Operand) -> None:
    """Tie the axes of a broadcast operand to the result's, counted from the end; what is repeated has none."""
    shift = result.rank - operand.rank
    for axis, size in enumerate(operand.shape):
        if size != 1 or result.shape[axis + shift] == 1:
            site.tie(operand, axis, result, axis + shift)
