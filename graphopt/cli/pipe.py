"""A terminal, or a pipe whose reader may go away."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

from graphopt.cli.console import leave_quietly


class Pipe(Console):
    """A console whose reader may go away, as that of `graphopt passes | head` does."""

    def on_broken_pipe(self) -> NoReturn:
        """Leave as a program does that SIGPIPE ended."""
        leave_quietly()
