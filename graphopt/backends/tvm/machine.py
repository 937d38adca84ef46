"""A rough model of a core and its memory, for choices that are far apart: algorithms, and orders of loops.

The numbers are those of x86 servers of 2020 and later, whose last cache and memory many share.
"""

from __future__ import annotations

import math

from graphopt.targets import Target

FLOAT_BYTES = 4
WAY_BYTES, LINE_BYTES = 4096, 64
"""What lies so far apart shares the few places of a set in the first cache; what moves between caches at once."""
_MEMORY_BYTES_PER_CYCLE = 8
"""What all cores together get from memory."""
_SHARED_BYTES_PER_CYCLE = 8
"""What one core gets from the shared cache."""
_OWN_BYTES_PER_CYCLE = 32
"""What a core gets from its own second-level cache."""
_SHARED_BYTES = 6 << 20
"""How much of the shared cache a process finds its data in again."""


def product_cycles(products: float, target: Target) -> float:
    """Return the cycles of so many multiply-adds, spread over the cores."""
    return products / (target.vectors_per_cycle * target.lanes() * target.cores)


def busy_share(tasks: int, target: Target) -> float:
    """Return which share of the cores' time equal tasks fill."""
    return tasks / (math.ceil(tasks / target.cores) * target.cores)


def memory_cycles(size: float) -> float:
    """Return the cycles in which so many bytes come from memory."""
    return size / _MEMORY_BYTES_PER_CYCLE


def stays(size: float, target: Target) -> bool:
    """Return whether a core finds so many bytes in its own cache again, though others pass through it."""
    return size <= target.l2_bytes * 3 // 4


def repeated_cycles(size: float, times: float, target: Target, *, keepers: int = 0) -> float:
    """Return the cycles of reading the same bytes so often, all cores together.

    They come from the shared cache, too large for a core's own, or from memory where they are too large for both. Of
    what some cores keep, the first time of each does.
    """
    first = min(times, keepers) if keepers else times
    own = size * (times - first) / (_OWN_BYTES_PER_CYCLE * target.cores)
    if size > _SHARED_BYTES:
        return memory_cycles(size * first) + own
    return size * first / (_SHARED_BYTES_PER_CYCLE * target.cores) + own
