"""Gemm, MatMul and Einsum: what they sum over ends there, what a constant's other axis holds is made there."""

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


def einsum(site: Site) -> None:
    """Tie the axes of one letter; letters that the result lacks are summed over (ONNX operator spec, Einsum-12)."""
    operands = [operand for operand in site.inputs if operand is not None]
    terms = _terms(site.node.attributes.get_string("equation", ""))
    if terms is None or [len(term) for term in terms] != [operand.rank for operand in (*operands, site.result)]:
        return site.freeze_all("multiplies in a way that is not understood")
    first: dict[str, tuple[Operand, int]] = {}
    for operand, term in zip((*operands, site.result), terms, strict=True):
        for axis, letter in enumerate(term):
            site.tie(operand, axis, *first.setdefault(letter, (operand, axis)))
    constants = [index for index, value in enumerate(site.node.inputs) if is_constant(value)]
    for letter in set("".join(terms)) - set(terms[-1]):
        index = next(index for index in (*constants, *range(len(operands))) if letter in terms[index])
        axis = terms[index].index(letter)
        if index in constants:
            site.multiplies(index, sums=axis)
        else:
            site.sums(index, axis)
    for index in constants:
        others = "".join(term for number, term in enumerate(terms[:-1]) if number != index)
        for letter in set(terms[index]) & set(terms[-1]) - set(others):
            site.multiplies(index, makes=terms[index].index(letter))
    return None


def _terms(equation: str) -> list[str] | None:
    """Return the letters of each operand and of the result; None where one is repeated or stands for any axes."""
    read, arrow, made = equation.replace(" ", "").partition("->")
    terms = read.split(",")
    if not arrow:
        made = "".join(sorted(letter for letter in set(read) - {","} if read.count(letter) == 1))
    every = [*terms, made]
    plain = all(len(set(term)) == len(term) and (term.isalpha() or not term) for term in every)
    return every if plain else None


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
