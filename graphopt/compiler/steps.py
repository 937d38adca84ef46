"""The steps of a long job: who watches is told how far each is, and how long each took is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Progress = Callable[[str, int, int | None], None]
"""Told of each step how much of it is done, and how much there is where that is known."""


@dataclass(frozen=True)
class Steps:
    """What has been done so far.

    Attributes:
        on_progress: who watches.
        seconds: that each step took, by its name.

    """

    on_progress: Progress = lambda *_: None
    seconds: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(on_progress: Progress | None) -> Steps:
        """Return the steps of a job that is about to start, watched or not."""
        return Steps() if on_progress is None else Steps(on_progress)

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Measure a step; the body gets the function that says how much of it is done."""
        self.on_progress(name, 0, total)
        start = time.perf_counter()
        yield lambda done: self.on_progress(name, done, total)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
