"""Rules about operands: which of them may be samples, and how they line up. Each returns why not, or None."""

from __future__ import annotations

from graphopt.ir.batchwise.site import Kind, Site

ALONG = "works along the batch"
UNKNOWN = "works along axes that are not known"
_LATE_AXIS = 13
"""The opset in which Softmax and its kin got -1 for a default; before, they flattened from axis 1 on."""


def data(site: Site) -> str | None:
    """Check y[i] = f(x[i], …): the first input alone are samples, the others the same for all of them."""
    if site.kind(0) is not Kind.SAMPLES:
        return "takes samples where it should take a constant"
    return others(site, 1)


def others(site: Site, first: int, allowed: frozenset[Kind] = frozenset({Kind.SAME})) -> str | None:
    """Check that the inputs from `first` on are the same for all samples, or of the other kinds that are allowed."""
    for index, kind in site.given().items():
        if index >= first and kind not in allowed:
            return f"takes {_words(kind)} as its input {index}"
    return None


def alike(site: Site) -> str | None:
    """Check y[i] = f(a[i], b[i], …): all inputs are samples, and of one rank."""
    if any(kind is not Kind.SAMPLES for kind in site.given().values()):
        return "joins samples and what is no sample"
    if len({site.rank(index) for index in site.given()}) > 1:
        return "joins samples of different ranks"
    return None


def pointwise(site: Site) -> str | None:
    """Check y[i, …] = f(a[i, …], b[…], …), broadcast: samples have the rank of the result, others no batch axis."""
    ranks = [site.rank(index) for index in site.given()]
    rank = max((rank for rank in ranks if rank is not None), default=0)
    if None in ranks:
        return "broadcasts a value of unknown rank"
    return next(filter(None, (lines_up(site, index, rank) for index in site.given())), None)


def lines_up(site: Site, index: int, rank: int) -> str | None:
    """Check one operand of a broadcast whose result has `rank` axes."""
    shape, kind = site.shape(index), site.kind(index)
    if kind is None:
        return None
    if shape is None:
        return "broadcasts a value of unknown rank"
    if kind is Kind.SAMPLES:
        return None if len(shape) == rank else f"lines up the batch of its input {index} with another axis"
    if kind is Kind.SIZE:
        return f"takes {_words(kind)} as its input {index}"
    return None if len(shape) < rank or shape[0] == 1 else f"gives each sample its own row of its input {index}"


def off_batch(axis: int | None) -> str | None:
    """Check that an axis is not the batch."""
    return UNKNOWN if axis is None else ALONG if axis == 0 else None


def softmax(site: Site) -> str | None:
    """Check y[i] = f(x[i]) of a Softmax or one of its kin: it normalizes along an axis, or from one on."""
    return data(site) or off_batch(site.axis(-1 if site.opset >= _LATE_AXIS else 1))


def _words(kind: Kind) -> str:
    return "samples" if kind is Kind.SAMPLES else "the size of the batch"
