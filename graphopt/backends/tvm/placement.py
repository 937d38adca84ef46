"""Keeping the workers of TVM's pool off the core of the thread that they work for.

Workers that have slept may be woken where their caller runs, and stay there for milliseconds: a run of one takes half
as long again then. The caller itself is left to the system, so before a run its workers are moved off the core that it
is on, if that is another than before.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path


class Placement:
    """The workers of one calling thread.

    Args:
        workers: the system's numbers of their threads.

    """

    def __init__(self, workers: Collection[int]) -> None:
        self._workers = workers
        self._caller = -1

    def before_run(self) -> None:
        """Move the workers off the caller's core."""
        current = _core_of_caller()
        if current is None or not self._workers or (core := current()) == self._caller:
            return
        self._caller = core
        others = os.sched_getaffinity(0) - {core}
        with suppress(OSError):  # some sandboxes refuse; the workers stay where they are then
            for worker in self._workers if others else ():
                os.sched_setaffinity(worker, others)


def threads() -> frozenset[int]:
    """Return the system's numbers of all threads of this process; none where it has no such."""
    tasks = Path("/proc/self/task")
    return frozenset(int(task.name) for task in tasks.iterdir()) if tasks.is_dir() else frozenset()


@cache
def _core_of_caller() -> Callable[[], int] | None:
    """Return what tells the core that the calling thread is on; None where the system does not."""
    return getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
