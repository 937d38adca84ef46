"""Where the process begins and ends: Ctrl-C is one line and exit code 130, also while the command is still imported."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
_interrupts: list[int] = []


def main() -> None:
    """Run the command line that the process was given."""
    signal.signal(signal.SIGINT, _interrupt)
    # What is registered first runs last. Without it, an interrupt in code that a string holds, as the methods of
    # dataclasses are, makes the interpreter end by the signal: no exit code at all for who started it.
    ended: list[int] = []
    atexit.register(lambda: _leave() if ended else None)
    try:
        from graphopt.cli.main import main as run

        run()
    except KeyboardInterrupt:
        ended.append(INTERRUPTED)
        print("error: interrupted", file=sys.stderr)  # noqa: T201  # the console may be what was imported
        sys.exit(INTERRUPTED)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            ended.append(INTERRUPTED)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # who presses it again wants no more cleaning up
        raise


def was_interrupted() -> bool:
    """Tell whether Ctrl-C was pressed: TVM, and modules in C, make an ordinary error of a KeyboardInterrupt."""
    return bool(_interrupts)


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt again if it was raised before, and somebody took it for an ordinary error."""
    if _interrupts:
        raise KeyboardInterrupt


def _interrupt(number: int, _: FrameType | None) -> None:
    _interrupts.append(number)
    raise KeyboardInterrupt


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # closed, or nobody reads it
            continue
    os._exit(INTERRUPTED)
