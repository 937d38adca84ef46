"""What other programs take of the cores that a measurement runs on, from the counters of Linux.

Source: proc(5), /proc/stat: for each core the ticks spent in user, nice, system, idle, iowait, irq, softirq and
steal, and in guests, which user and nice hold already.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

QUIET = 0.1
"""Cores: a machine on which others use less is quiet. A desktop at rest uses a few hundredths of one."""
_COUNTERS = Path("/proc/stat")
_BUSY = "user nice system irq softirq steal".split()
_FIELDS = "user nice system idle iowait irq softirq steal".split()


@dataclass(frozen=True)
class OtherLoad:
    """The processor time that others used over some stretches of time.

    Attributes:
        stolen: seconds of core time; below 0 where the ticks were rounded in our favour.
        elapsed: seconds on the clock.

    """

    stolen: float = 0.0
    elapsed: float = 0.0

    def __add__(self, other: OtherLoad) -> OtherLoad:
        return OtherLoad(self.stolen + other.stolen, self.elapsed + other.elapsed)

    @property
    def cores(self) -> float:
        """How many cores they kept busy on average."""
        return max(self.stolen, 0.0) / self.elapsed if self.elapsed else 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether a timing taken meanwhile can be trusted."""
        return self.cores < QUIET

    def __str__(self) -> str:
        return f"other programs kept {self.cores:.2f} cores busy"


class Watch:
    """Watches from its making until `stop`."""

    def __init__(self) -> None:
        self._busy, self._start, self._own = read_busy(), time.perf_counter(), time.process_time()

    def stop(self, ours: float = 0.0) -> OtherLoad | None:
        """Return the load since then, None where the system does not tell.

        `ours` is what processes of the measurement used, in seconds of core time; this one's is known.
        """
        busy = read_busy()
        if busy is None or self._busy is None:
            return None
        ours += time.process_time() - self._own
        return OtherLoad(busy - self._busy - ours, time.perf_counter() - self._start)


def watch_idle(seconds: float = 1.0) -> OtherLoad | None:
    """Watch for a while in which this process does nothing."""
    watch = Watch()
    time.sleep(seconds)
    return watch.stop()


def read_busy() -> float | None:
    """Return the seconds that the cores of this process have been busy since boot, None where nothing says so."""
    try:
        text = _COUNTERS.read_text(encoding="ascii")
    except OSError:
        return None
    return busy_seconds(text, os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK"))


def busy_seconds(text: str, cores: set[int], ticks_a_second: int) -> float:
    """Sum up the busy time of some cores in a text like that of /proc/stat."""
    ticks, watched = 0, {f"cpu{core}" for core in cores}
    for line in text.splitlines():
        name, *counts = line.split()
        if name in watched:
            spent = dict(zip(_FIELDS, map(int, counts), strict=False))
            ticks += sum(spent.get(state, 0) for state in _BUSY)
    return ticks / ticks_a_second
