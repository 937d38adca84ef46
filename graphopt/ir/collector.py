"""Python's garbage collector and large graphs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENT = (1_000_000, 20, 20)

_lock = threading.Lock()
_waiting: list[tuple[int, int, int]] = []


@contextmanager
def patient_collector() -> Iterator[None]:
    """Let the collector start rarely within the block.

    A graph is millions of objects that all live. By default the collector walks them again after every 70,000
    new ones, which doubles the time of a pipeline on 20,000 nodes and makes it more than linear. What reference
    counting frees is freed as ever; a collector that is off stays off.
    """
    with _lock:
        _waiting.append(gc.get_threshold())
        if gc.get_threshold()[0]:
            gc.set_threshold(*_PATIENT)
    try:
        yield
    finally:
        with _lock:
            earlier = _waiting.pop()
            if not _waiting:
                gc.set_threshold(*earlier)
