"""Which widths groups may have: multiples as wide as the target's vectors, if that does not cost the answers much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphopt.errors import PipelineError
from graphopt.pruning.allot import Choice, allot
from graphopt.pruning.cost import Cost
from graphopt.pruning.curves import Curve
from graphopt.pruning.width import Snap

WORTH = 2 / 3
"""Finer widths save no time that whole vectors do not: they are worth it where they leave this part of the error."""


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

    def allot(self, cost: Cost, limit: float, curves: Mapping[str, Curve]) -> dict[str, int]:
        """Return the widths that cost the answers least, within a limit.

        Raises:
            PipelineError: nothing is within it.

        """
        choices = {name: Choice(several, curves[name]) for name, several in self.choices.items()}
        chosen = allot(cost, limit, choices)
        if chosen is None:
            raise PipelineError("no widths meet the budget exactly; ask for a little more")
        return chosen


def rooms_for(cost: Cost, limit: float, channels: Mapping[str, int], snaps: Sequence[Snap]) -> tuple[Room, ...]:
    """Return the rooms of those snaps that can meet a limit, in their order.

    Raises:
        PipelineError: none can.

    """
    rooms = [Room(channels, snap) for snap in snaps]
    if found := tuple(room for room in rooms if room.least(cost) <= limit):
        return found
    least = min(room.least(cost) for room in rooms)
    raise PipelineError(
        f"{cost.measure} cannot fall to {limit / cost.whole:.1%} of the model's: at the narrowest widths, multiples of "
        f"{snaps[-1]}, {least / cost.whole:.1%} remain; ask for less, or for a smaller multiple"
    )


def settle(cost: Cost, limit: float, rooms: Sequence[Room], curves: Mapping[str, Curve]) -> Room:
    """Return the first room whose successor is not worth it.

    Args:
        cost: of the model by widths.
        limit: what it may cost, which all rooms can meet.
        rooms: of ever finer widths.
        curves: what it costs the answers that single groups are narrower.

    """
    settled, *finer = rooms
    error = _error(settled, cost, limit, curves) if finer else 0.0
    for room in finer:
        left = _error(room, cost, limit, curves)
        if left > WORTH * error:
            break
        settled, error = room, left
    return settled


def _error(room: Room, cost: Cost, limit: float, curves: Mapping[str, Curve]) -> float:
    return sum(curves[name](width) for name, width in room.allot(cost, limit, curves).items())
