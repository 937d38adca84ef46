"""From a budget to the widths of all groups, by what narrower ones cost the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphopt.errors import PipelineError
from graphopt.pruning.allot import CLOSE, Choice, allot
from graphopt.pruning.cost import Cost, Widths
from graphopt.pruning.curves import Float64, by_scores
from graphopt.pruning.width import Snap

FREEDOM = 4 / 3
"""How much more than is asked for has to be possible: else all groups are as narrow as they can be, unchosen."""

PROGRAMS = 5
"""How many programs are compiled and measured for a budget of latency."""

AIM = 1 - CLOSE / 2
"""The share of a latency that programs are aimed at: one that takes a little more is of no use."""


@dataclass(frozen=True)
class Room:
    """What a model's groups can be left with.

    Attributes:
        channels: of each group.
        snap: what narrower widths are multiples of.

    """

    channels: Mapping[str, int]
    snap: Snap

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """The widths of each group that has more than one, the widest first."""
        found = {name: self.snap.widths(count) for name, count in self.channels.items()}
        return {name: several for name, several in found.items() if len(several) > 1}

    def least(self, cost: Cost) -> int:
        """Return what the model costs at the narrowest widths."""
        return cost({name: several[-1] for name, several in self.choices.items()})


def room_for(cost: Cost, limit: float, channels: Mapping[str, int], snaps: Sequence[Snap]) -> Room:
    """Return the room with the first of several snaps that leaves a choice for a limit, or else with the last.

    Raises:
        PipelineError: that one has too little of it.

    """
    for snap in snaps:
        room = Room(channels, snap)
        if cost.whole - room.least(cost) >= FREEDOM * (cost.whole - limit):
            return room
    if room.least(cost) <= limit:
        return room
    least = room.least(cost)
    raise PipelineError(
        f"{cost.measure} cannot fall to {limit / cost.whole:.1%} of the model's: at the narrowest widths, multiples of "
        f"{room.snap}, {least / cost.whole:.1%} remain; ask for less, or for a smaller multiple"
    )


def by_score(cost: Cost, limit: float, room: Room, scores: Mapping[str, Float64]) -> dict[str, int]:
    """Return widths that cost no more than a limit, which there is room for, chosen by scores alone."""
    choices = {name: Choice(several, by_scores(scores[name], several)) for name, several in room.choices.items()}
    return found_by(allot(cost, limit, choices))


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


def found_by(chosen: dict[str, int] | None) -> dict[str, int]:
    """Return what was chosen; raises PipelineError where nothing could be."""
    if chosen is None:
        raise PipelineError("no widths meet the budget exactly; ask for a little more")
    return chosen
