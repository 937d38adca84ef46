"""Attention as one operator: what queries and keys are multiplied along leaves both, in all heads alike."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.site import Operand, Site

_KEY = 1
_OPERANDS = 4  # queries, keys, values and a mask; behind them are the keys and values of former runs


def attention(site: Site) -> None:
    """Y = softmax(scale · Q·Kᵀ + mask)·V, head by head (ONNX operator spec, Attention-23)."""
    query, key, value = site.inputs[:3]
    if len(site.inputs) > _OPERANDS or len(site.outputs) > 1 or query is None or key is None or value is None:
        return site.freeze_all("keeps keys and values, or shows what it multiplies")
    for operand in site.operands():
        for axis in range(operand.rank - 1):
            site.freeze(operand, axis, "attends along it")
    site.freeze_from(site.input(3), 0, "masks with it")
    heads = [site.node.attributes.get_int(name, 1) for name in ("q_num_heads", "kv_num_heads")]
    _couple(site, (query, heads[0]), (key, heads[1]))
    _couple(site, (value, heads[1]), (site.result, heads[0]))
    return site.sums(_KEY, key.rank - 1)


def adjust(node: ir.Node, cut: Cut) -> None:
    """State the scale, which otherwise follows from the width of the heads: 1 / sqrt(width)."""
    query = node.inputs[0]
    size = None if query is None or query.shape is None else query.shape[-1]
    if query is None or query.shape is None or not isinstance(size, int) or "scale" in node.attributes:
        return
    if cut.of_operand(node, 0).get(len(query.shape) - 1) is not None:
        heads = node.attributes.get_int("q_num_heads", 1) if len(query.shape) == 3 else 1
        node.attributes["scale"] = ir.AttrFloat32("scale", 1 / math.sqrt(size // heads))


def _couple(site: Site, *sides: tuple[Operand, int]) -> None:
    """Tie equal positions of all heads, which lie behind each other in values of rank 3."""
    first: Operand | None = None
    for operand, heads in sides:
        size, last = operand.shape[-1], operand.rank - 1
        if not isinstance(size, int):
            site.freeze_all("has heads of unknown width")
            continue
        positions = np.arange(size)
        first = first or operand
        width = size // heads if operand.rank == 3 else size
        site.tie(operand, last, first, first.rank - 1, at=(positions, positions % width))
