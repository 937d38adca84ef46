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


def even_parts(count: int, target: Target) -> int:
    """Return in how many equal parts cores share so many things: few that leave few cores idle."""
    parts = (parts for parts in range(1, count + 1) if count % parts == 0)
    return max(parts, key=lambda parts: (busy_share(parts, target), -parts))


def memory_cycles(size: float) -> float:
    """Return the cycles in which so many bytes come from memory."""
    return size / _MEMORY_BYTES_PER_CYCLE


def own_cycles(size: float, target: Target) -> float:
    """Return the cycles in which so many bytes come from the cores' own second-level caches."""
    return size / (_OWN_BYTES_PER_CYCLE * target.cores)


def repeated_cycles(size: float, times: float, target: Target) -> float:
    """Return the cycles of reading the same bytes so often, too many for a core's own cache."""
    if size > _SHARED_BYTES:
        return memory_cycles(size * times)
    return size * times / (_SHARED_BYTES_PER_CYCLE * target.cores)


def kept_cycles(size: float, times: float, target: Target, *, beside: float, keepers: int) -> float:
    """Return the same of bytes that each of some cores keeps after its first time, where its cache has room for them.

    `beside` are the bytes of what it reads with them; all else passes through a quarter of the cache.
    """
    has_room = size + beside <= target.l2_bytes * 3 // 4
    first = min(times, keepers) if has_room else times
    return repeated_cycles(size, first, target) + own_cycles(size * (times - first), target)
