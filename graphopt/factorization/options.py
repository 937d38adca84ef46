"""The forms and ranks that make a layer cheaper."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from graphopt.factorization.chain import macs, macs_of, parameters
from graphopt.factorization.forms import FORMS, Form, Ranks
from graphopt.factorization.layer import Layer

FINENESS = 4
"""Ranks below the width of a vector are multiples of a part of it."""
RANKS = 6
"""How many sizes are tried at most: of a rank, and half as many of each of two."""


@dataclass(frozen=True)
class Option:
    """One form of a layer.

    Attributes:
        form: of `FORMS`.
        ranks: of its factors, for each group of channels.

    """

    form: str
    ranks: Ranks

    def __str__(self) -> str:
        return f"{self.form} {'×'.join(map(str, self.ranks))}"


def options(layer: Layer, measure: str, lanes: int, forms: Collection[str] = ()) -> Iterator[tuple[Option, int]]:
    """Yield the options that cost less than a layer, with how much they save.

    Args:
        layer: with known sizes, for multiply-adds.
        measure: what is saved, a key of `MEASURES`.
        lanes: elements of a vector of the target; larger ranks are multiples of it, smaller ones of a quarter.
        forms: those to try, all by default.

    """
    whole = cost(layer, measure)
    for name in forms or FORMS:

        def saved(ranks: Ranks, form: str = name) -> int:
            return whole - cost(layer, measure, Option(form, ranks))

        for ranks in _grid(layer, FORMS[name], saved, lanes):
            yield Option(name, ranks), saved(ranks)


def cost(layer: Layer, measure: str, option: Option | None = None) -> int:
    """Return what a layer costs in some measure, as it is or in a form."""
    return MEASURES[measure](layer, option)


def _macs(layer: Layer, option: Option | None) -> int:
    return macs_of(layer) if option is None else macs(FORMS[option.form].stages(layer, option.ranks), layer)


def _parameters(layer: Layer, option: Option | None) -> int:
    """Count the bias that a factored layer has to take up the mean of its error."""
    if option is None:
        return layer.weight.size + (0 if layer.bias is None else layer.bias.size)
    bias = layer.groups * layer.outputs if layer.takes_bias else 0
    return parameters(FORMS[option.form].stages(layer, option.ranks)) + bias


def _bytes(layer: Layer, option: Option | None) -> int:
    weight = layer.node.inputs[1]
    width = weight.dtype.bitwidth if weight is not None and weight.dtype is not None else 32
    return _parameters(layer, option) * width // 8


MEASURES = {"macs": _macs, "params": _parameters, "bytes": _bytes}


def _grid(layer: Layer, form: Form, saved: Callable[[Ranks], int], lanes: int) -> Iterator[Ranks]:
    """Yield ranks of a form that save something, evenly spread over those that do."""
    largest = form.largest(layer)
    if largest is None:
        return
    fine = [_filling(rank, layer.groups, lanes) for rank in largest]
    least = tuple(ranks[0] for ranks in fine)
    axes = []
    for axis, ranks in enumerate(fine):
        useful = [rank for rank in ranks if saved((*least[:axis], rank, *least[axis + 1 :])) > 0]
        step = math.ceil(len(useful) / (RANKS // len(fine)))
        axes.append(useful[::-step] if step else [])
    yield from (ranks for ranks in itertools.product(*axes) if saved(ranks) > 0)


def _filling(largest: int, groups: int, lanes: int) -> list[int]:
    """Return the ranks up to the largest whose channels of all groups fill vectors, or parts of one."""
    part = max(lanes // FINENESS, 1)
    fine = [rank for rank in range(1, largest + 1) if _fills(groups * rank, part, lanes)]
    return fine or [largest]


def _fills(channels: int, part: int, lanes: int) -> bool:
    return channels % (lanes if channels > lanes else part) == 0
