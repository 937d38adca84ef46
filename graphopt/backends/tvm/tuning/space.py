"""What a kernel's schedule may decide, explored step by step: options may depend on what was decided before."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from graphopt.backends.tvm.schedule.choices import Choices, Decisions

Asked = Callable[[Decisions], Choices | None]
"""Schedules with decisions and returns what was asked for; None where the schedule cannot be made."""


class Space:
    """Hands out decisions that were not handed out before: the neighbours of the best ones first.

    Neighbours differ in one knob. Where all of the best one's are known, those of the others follow, and so every
    decision comes up in the end: a small space is searched whole, a large one near what is good.
    """

    def __init__(self, asked: Asked, seed: int) -> None:
        self._asked = asked
        self._random = random.Random(seed)  # noqa: S311  # a search, no secret
        self._seen: dict[tuple[tuple[str, str], ...], Choices] = {}
        self._ahead: dict[tuple[tuple[str, str], ...], Iterator[Decisions]] = {}

    def add(self, decisions: Decisions) -> Decisions:
        """Take decisions as handed out; return them as the schedule understands them, all knobs told."""
        choices = self._asked(decisions)
        if choices is None:
            return decisions
        self._seen.setdefault(_key(choices.taken), choices)
        return choices.taken

    def next(self, best: Decisions) -> Decisions | None:
        """Return new decisions, as near to the best as there are any; None where there are none."""
        for start in (_key(best), *self._seen):
            if start not in self._seen:
                continue
            for decisions in self._ahead.setdefault(start, self._neighbours(self._seen[start])):
                choices = self._asked(decisions)
                if choices is not None and _key(choices.taken) not in self._seen:
                    self._seen[_key(choices.taken)] = choices
                    return choices.taken
        return None

    def _neighbours(self, choices: Choices) -> Iterator[Decisions]:
        changed = [
            {**choices.taken, knob: option}
            for knob, options in choices.options.items()
            for option in options
            if option != choices.taken[knob]
        ]
        self._random.shuffle(changed)
        return iter(changed)


def _key(taken: Decisions) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(taken.items()))
