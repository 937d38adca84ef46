"""Ctrl-C between two steps, never within one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

APART = 0.5
"""Seconds between two Ctrl-C of a person, at least: one comes twice where a launcher such as torchrun passes it on."""


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the body ask whether it was interrupted; a second Ctrl-C, `APART` or more later, ends it at once.

    Signals are the main thread's: in others nothing is deferred.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: float | None = None

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked is None:
            asked = time.monotonic()
        elif time.monotonic() - asked >= APART:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked is not None
    finally:
        signal.signal(signal.SIGINT, before)
