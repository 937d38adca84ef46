"""How much memory a process has taken."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_resident() -> int | None:
    """Return the most bytes that this process had in memory at a time; None where the system does not tell.

    It is counted anew for each program that is started; `ru_maxrss` would begin with what the process had that
    started this one.
    """
    try:
        found = _HIGH_WATER.search(_STATUS.read_text(encoding="ascii"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
