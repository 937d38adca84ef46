"""Rules for matrix products."""

from __future__ import annotations

from graphopt.ir.batchwise.operands import lines_up
from graphopt.ir.batchwise.site import Kind, Site

_SUM = "sums over the batch"


def gemm(site: Site) -> str | None:
    """Y = A B + C: the rows of A are samples, unless it is transposed; C is broadcast to rows."""
    if site.kind(0) is not Kind.SAMPLES or site.kind(1) is not Kind.SAME:
        return "multiplies by samples"
    if site.node.attributes.get_int("transA", 0):
        return _SUM
    return lines_up(site, 2, 2)


def matmul(site: Site) -> str | None:
    """Y[…, i, j] = Σₖ A[…, i, k] B[…, k, j], in which the axes in front of the last two are broadcast."""
    left, right = site.rank(0), site.rank(1)
    if left is None or right is None:
        return "multiplies values of unknown rank"
    if Kind.SIZE in site.kinds:
        return "multiplies by the size of the batch"
    if site.kind(0) is Kind.SAMPLES and left == 1:
        return _SUM
    if site.kind(1) is Kind.SAMPLES and right < 3:
        return _SUM if site.kind(0) is Kind.SAME else "multiplies samples with each other"
    if site.kind(0) is Kind.SAMPLES and left == 2 and right > 2:
        return "lines up the batch of its input 0 with another axis"
    if site.kind(0) is Kind.SAMPLES and left == 2:
        return None  # the rows of A; B is the same for all of them
    rank = max(left, right)
    return lines_up(site, 0, rank) or lines_up(site, 1, rank)


def einsum(site: Site) -> str | None:
    """One letter, the first of all samples and of the result and nowhere else, is the batch."""
    left, arrow, result = site.node.attributes.get_string("equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or "." in left + result or not result or len(terms) != len(site.kinds):
        return "multiplies by an equation that is not read"
    batch = result[0]
    for index, term in enumerate(terms):
        expected = 1 if site.kind(index) is Kind.SAMPLES else 0
        if site.kind(index) is Kind.SIZE or term.count(batch) != expected or (expected and term[0] != batch):
            return "multiplies samples with each other"
    return None if result.count(batch) == 1 else "multiplies samples with each other"
