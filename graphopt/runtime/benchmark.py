"""Measuring a program: the median of many runs, with what is needed to judge it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Durations of repeated runs, in milliseconds."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, which a few disturbed runs do not move."""
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        """The fastest run."""
        return min(self.samples)

    @property
    def spread(self) -> float:
        """Interquartile range over the median: above 0.1 or so the machine was not quiet."""
        return spread(self.samples)

    def __str__(self) -> str:
        return f"{self.median:.3f} ms (best {self.best:.3f}, spread {self.spread:.0%}, {len(self.samples)} runs)"


BURST = 5
"""Timed runs of one side in a row. Each turn begins with runs that are not timed: the worker threads of the
other side still spin for a while, and the caches hold its data."""
SETTLING_RUNS = 2
QUARTILES_FROM = 4


def spread(samples: Sequence[float]) -> float:
    """Return the interquartile range over the median; 0 of too few samples for quartiles."""
    if len(samples) < QUARTILES_FROM:
        return 0.0
    lower, median, upper = statistics.quantiles(samples, n=4)
    return (upper - lower) / median


def measure(run: Callable[[], object], *, repeats: int = 30, warm_up: int = 3) -> Timing:
    """Time one thing."""
    return measure_alternating([run], repeats=repeats, warm_up=warm_up)[0]


def measure_alternating(runs: Sequence[Callable[[], object]], *, repeats: int = 30, warm_up: int = 3) -> list[Timing]:
    """Time several things in turns, so that what disturbs the machine disturbs all of them alike."""
    for run in runs:
        for _ in range(warm_up):
            run()
    samples: list[list[float]] = [[] for _ in runs]
    for begun in range(0, repeats, BURST):
        for run, taken in zip(runs, samples, strict=True):
            for _ in range(SETTLING_RUNS):
                run()
            taken.extend(milliseconds(run) for _ in range(min(BURST, repeats - begun)))
    return [Timing(tuple(taken)) for taken in samples]


def milliseconds(run: Callable[[], object]) -> float:
    """Time one run."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3
