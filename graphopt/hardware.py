"""What the system says of this machine: its cores and its caches."""

from __future__ import annotations

import os
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def available_cores() -> int:
    """Return how many cores this process may run on: its CPU affinity, not the size of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def last_cache_bytes() -> int:
    """Return the size of the largest cache, which cores may share; 32 MiB where the system does not say."""
    indices = [path.name for path in _CACHES.glob("index*")]
    return max((cache_bytes(index, 0) for index in indices), default=0) or 32 << 20


def cache_bytes(index: str, default: int) -> int:
    """Return the size of a cache of the first core, as Linux numbers them; a default where the system does not say."""
    try:
        text = (_CACHES / index / "size").read_text().strip()
    except OSError:
        return default
    return int(text.removesuffix("K")) << 10 if text.endswith("K") else default
