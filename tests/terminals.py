"""The command line on a terminal, which a pseudo-terminal stands for."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")


def on_terminal(*arguments: str, columns: int = 100, folder: Path | None = None, **environment: str) -> str:
    """Return what a command prints to a terminal, to either end of it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    process = subprocess.Popen(
        [sys.executable, "-m", "graphopt", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=inherited | {"TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    printed = b""
    with suppress(OSError):  # EIO: nobody has the other end any more
        while part := os.read(ours, 1 << 16):
            printed += part
    os.close(ours)
    process.wait()
    return printed.decode()
