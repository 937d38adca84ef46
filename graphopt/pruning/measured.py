"""Widths chosen by what narrower groups are measured to cost the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from graphopt.pruning.cost import Cost, Widths
from graphopt.pruning.curves import Curve
from graphopt.pruning.room import Room
from graphopt.pruning.trial import Trials

TRIALS = 320
"""How many models are tried to tell what widths cost the answers, but for networks of very many groups."""

MOST_LEVELS, FEWEST_LEVELS = 5, 2
"""At how many widths each group is tried in a round."""

ROUNDS = 2
"""Errors add up only for small changes: half of the way is measured where nothing has left, the rest from there on."""

OnTrial = Callable[[int, int], None]
"""Told how many trials are done, and of how many."""


class Measured:
    """Chooses widths by the error of the answers, measured once and used for any limit.

    The first round tries each group where no channel has left, a later one where as many have as the round before it
    chose for its part of the way.

    Args:
        cost: of the model by widths.
        room: the widths that the first round tries some of.
        trials: measure what widths cost the answers.
        on_trial: told how many of them are done.

    """

    def __init__(self, cost: Cost, room: Room, trials: Trials, on_trial: OnTrial) -> None:
        self._cost, self._room, self._trials, self._on_trial = cost, room, trials, on_trial
        self._levels = min(max(TRIALS // (ROUNDS * max(len(room.choices), 1)), FEWEST_LEVELS), MOST_LEVELS)
        self._done = 0

    @cached_property
    def curves(self) -> Mapping[str, Curve]:
        """What it costs that one group alone is narrower, by group."""
        return self._curves(self._room, {})

    def choose(self, room: Room, limit: float) -> dict[str, int]:
        """Return widths that cost no more than a limit, which there is room for."""
        whole, saved = self._cost.whole, self._cost.whole - limit
        base = room.allot(self._cost, whole - saved / ROUNDS, self.curves)
        for number in range(2, ROUNDS + 1):
            base = room.allot(self._cost, whole - saved * number / ROUNDS, self._curves(room, base))
        return base

    def _curves(self, room: Room, base: Widths) -> dict[str, Curve]:
        return self._trials.curves(room.choices, base, self._levels, self._count)

    def _count(self) -> None:
        self._done += 1
        each = sum(min(len(several) - 1, self._levels) for several in self._room.choices.values())
        self._on_trial(self._done, max(each * ROUNDS, self._done))
