"""What a worker is asked for: its answers, and turns. Workers import this, and so it imports little itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

from graphopt.benchmark.resident import peak_resident
from graphopt.benchmark.worker import Run
from graphopt.runtime.benchmark import SETTLING_RUNS, milliseconds
from graphopt.tensors import Feeds

_WARM_UP = 3
_NAP, _NAPS = 0.01, 300
_IDLE_SHARE = 0.1
"""A process is idle when it uses less than this of a core while it sleeps."""


@dataclass(frozen=True)
class Turn:
    """What a worker did in one turn.

    Attributes:
        samples: milliseconds of each timed run.
        cores: how many cores the process used in the timed runs, on average.
        used: seconds of core time of the whole turn.
        slept: whether its threads slept at the end.

    """

    samples: tuple[float, ...]
    cores: float
    used: float
    slept: bool


def take_turn(run: Run, *, count: int) -> Turn:
    """Run a few times untimed and then `count` times timed, and wait until the threads sleep."""
    begun = time.process_time()
    for _ in range(SETTLING_RUNS):
        run()
    used, start = time.process_time(), time.perf_counter()
    samples = tuple(milliseconds(run) for _ in range(count))
    cores = (time.process_time() - used) / (time.perf_counter() - start)
    slept = _wait_until_idle()
    return Turn(samples, cores, time.process_time() - begun, slept)


def answer(run: Run) -> Feeds:
    """Warm up and return the outputs."""
    for _ in range(_WARM_UP):
        outputs = run()
    _wait_until_idle()
    return outputs


def peak(_run: Run) -> int | None:
    """Return the most bytes that the process had in memory so far; None where the system does not tell."""
    return peak_resident()


def _wait_until_idle() -> bool:
    """Wait until the threads of this process sleep; return False where they still do not after some seconds."""
    for _ in range(_NAPS):
        before, start = time.process_time(), time.perf_counter()
        time.sleep(_NAP)
        if time.process_time() - before < _IDLE_SHARE * (time.perf_counter() - start):
            return True
    return False
