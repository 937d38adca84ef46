"""From a budget to the widths of all groups, by what narrower ones cost the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol

from graphopt.pruning.allot import CLOSE
from graphopt.pruning.cost import Cost, Widths
from graphopt.pruning.curves import Curve, Float64, by_scores
from graphopt.pruning.room import Room
from graphopt.pruning.width import Snap

PROGRAMS = 5
"""How many programs are compiled and measured for a budget of latency."""

AIM = 1 - CLOSE / 2
"""The share of a latency that programs are aimed at: one that takes a little more is of no use."""


class Search(Protocol):
    """Chooses widths by what narrower groups cost the answers."""

    @property
    def curves(self) -> Mapping[str, Curve]:
        """What it costs that one group alone is narrower, by group."""

    def choose(self, room: Room, limit: float) -> dict[str, int]:
        """Return widths that cost no more than a limit, which there is room for."""


class Scored:
    """One that knows no more of channels than scores.

    Args:
        cost: of the model by widths.
        room: all widths that may be asked about.
        scores: of the channels of each group.

    """

    def __init__(self, cost: Cost, room: Room, scores: Mapping[str, Float64]) -> None:
        self._cost, self._room, self._scores = cost, room, scores

    @cached_property
    def curves(self) -> Mapping[str, Curve]:
        """What it costs that one group alone is narrower, by group."""
        return {name: by_scores(self._scores[name], several) for name, several in self._room.choices.items()}

    def choose(self, room: Room, limit: float) -> dict[str, int]:
        """Return widths that cost no more than a limit, which there is room for."""
        return room.allot(self._cost, limit, self.curves)


def exactly(
    choose: Callable[[float], dict[str, int]], limit: float, measure: Callable[[Widths], int]
) -> dict[str, int]:
    """Return widths whose model costs no more than a limit, measured on the model itself.

    What is counted by widths is exact but for vectors that several layers read: each that loses some gets its own.
    """
    allowed = limit
    while (excess := measure(widths := choose(allowed)) - limit) > 0:
        allowed -= excess
    return widths


def by_latency(
    choose: Callable[[float], dict[str, int]],
    latency: Callable[[Widths], float],
    want: float,
    before: float,
    cost: Cost,
    room: Room,
) -> dict[str, int] | None:
    """Return widths whose program is as fast as wanted, or None where no trial was.

    Multiply-adds stand for time while widths are chosen. The line through what the model takes and what the last
    program took says how many of them are wanted next.

    Args:
        choose: returns widths for a limit of multiply-adds, as close to it as there are.
        latency: compiles the model with such widths and measures it, in milliseconds.
        want, before: milliseconds, of what is looked for and of the model.
        cost: multiply-adds by widths.
        room: what the widths can be.

    """
    best: tuple[float, dict[str, int]] | None = None
    limit = cost.whole * want / before
    least = room.least(cost)
    for _ in range(PROGRAMS):
        widths = choose(max(limit, least))
        taken = latency(widths)
        if taken <= want and (best is None or taken > best[0]):
            best = taken, widths
        if want * (1 - CLOSE) <= taken <= want:
            break
        if taken > want and limit <= least:
            break
        saved = (cost.whole - cost(widths)) * (before - AIM * want) / (before - taken) if taken < before else 0
        limit = cost.whole - saved if saved else limit / 2
    return None if best is None else best[1]


def remark(cost: Cost, limit: float, found: Widths, snap: Snap) -> str | None:
    """Say why the cost is further below the limit than the tolerance, None where it is not."""
    reached = cost(found)
    if limit - reached <= CLOSE * cost.whole:
        return None
    return (
        f"{cost.measure} fall to {reached / cost.whole:.1%} rather than {limit / cost.whole:.1%} of the model's: "
        f"no widths that are multiples of {snap} were found closer; a smaller multiple may do"
    )
