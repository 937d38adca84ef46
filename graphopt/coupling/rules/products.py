"""Gemm and MatMul: what they sum over ends there, what a constant's other axis holds is made there."""

from __future__ import annotations

from graphopt.coupling.rules.elementwise import line_up
from graphopt.coupling.site import Operand, Site
from graphopt.ir.constants import is_constant


def gemm(site: Site) -> None:
    """Y[m, n] = alpha · A'[m, k] · B'[k, n] + beta · C (ONNX operator spec, Gemm-13)."""
    turned = [site.node.attributes.get_int(name, 0) for name in ("transA", "transB")]
    left, right = site.inputs[:2]
    rows, inner = (1, 0) if turned[0] else (0, 1)
    outer, columns = (1, 0) if turned[1] else (0, 1)
    site.tie(left, rows, site.result, 0)
    site.tie(right, columns, site.result, 1)
    site.tie(left, inner, right, outer)
    added = site.input(2)
    if added is not None:
        line_up(site, added, site.result)
    _multiply(site, (rows, inner), (columns, outer))


def matmul(site: Site) -> None:
    """Y[…, m, n] = A[…, m, k] · B[…, k, n]; a vector has k alone (ONNX operator spec, MatMul-13)."""
    left, right = site.inputs[:2]
    if left is None or right is None:
        return
    result = site.result
    rows = left.rank - 2 if left.rank > 1 else None
    columns = right.rank - 1 if right.rank > 1 else None
    inner, outer = left.rank - 1, max(right.rank - 2, 0)
    site.tie(left, inner, right, outer)
    if rows is not None:
        site.tie(left, rows, result, result.rank - (1 if columns is None else 2))
    if columns is not None:
        site.tie(right, columns, result, result.rank - 1)
    batches = result.rank - (rows is not None) - (columns is not None)
    for operand in (left, right):
        _batch(site, operand, batches)
    _multiply(site, (rows, inner), (columns, outer))


def _batch(site: Site, operand: Operand, batches: int) -> None:
    """Tie the axes before the last two, which broadcast."""
    axes = max(operand.rank - 2, 0)
    for axis, size in enumerate(operand.shape[:axes]):
        other = batches - axes + axis
        if size != 1 or site.result.shape[other] == 1:
            site.tie(operand, axis, site.result, other)


def _multiply(site: Site, left: tuple[int | None, int], right: tuple[int | None, int]) -> None:
    """Say which side is the weight; each side is (what it makes, what it sums over)."""
    for index, (makes, sums) in ((1, right), (0, left)):
        if is_constant(site.node.inputs[index]):
            return site.multiplies(index, makes=makes, sums=sums)
    return site.sums(1, right[1])
