"""What a command is doing, for who waits: on a terminal's stderr alone, and gone when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from graphopt.cli.console import console_of, is_quiet
from graphopt.cli.start import stop_if_interrupted

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task, TaskID
    from rich.text import Text


class Announce(Protocol):
    """Says which step is in hand, and how much of it is done of how much where that is known."""

    def __call__(self, step: str, done: int = 0, total: int | None = None, /) -> None:
        """Say it."""


@contextmanager
def progress(title: str) -> Iterator[Announce]:
    """Show the step in hand while the body runs: the time, and the time left where the body says how much there is."""
    errors: TextIO | None = sys.stderr  # None where the caller has closed it
    console = None if errors is None or is_quiet() or not errors.isatty() else console_of(errors)
    if console is None or not console.is_interactive:
        yield _unseen
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        _times(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Announced(title, bars)


def _unseen(_: str, __: int = 0, ___: int | None = None, /) -> None:
    stop_if_interrupted()


class _Announced:
    """One bar, which begins anew with each step that has another name: so does the estimate of the time left."""

    def __init__(self, title: str, bars: Progress) -> None:
        self._title, self._bars = title, bars
        self._start = bars.get_time()
        self._step = ""
        self._task: TaskID = self._begin(title, 0, None)

    def __call__(self, step: str, done: int = 0, total: int | None = None, /) -> None:
        stop_if_interrupted()
        text = f"{self._title}: {step}"
        if total is None or (_name(step) == _name(self._step) and not self._went_back(done)):
            self._bars.update(self._task, description=text, completed=done, total=total)
        else:
            self._bars.remove_task(self._task)
            self._task = self._begin(text, done, total)
        self._step = step

    def _begin(self, text: str, done: int, total: int | None) -> TaskID:
        return self._bars.add_task(text, completed=done, total=total, begun=self._start)

    def _went_back(self, done: int) -> bool:
        return bool(self._bars.tasks) and done < self._bars.tasks[-1].completed


def _name(step: str) -> str:
    """Leave out what goes on changing while a step lasts, behind a comma."""
    return step.partition(",")[0]


def _times() -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Times(ProgressColumn):
        """How much is done, since when, and how long the step takes yet."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            parts = [_clock(task.get_time() - task.fields["begun"])]
            if task.total is not None:
                parts.insert(0, f"{task.completed:.0f}/{task.total:.0f}")
                left = task.time_remaining
                parts.append("" if left is None or task.finished else f"{_clock(left)} left")
            return Text(" ".join(filter(None, parts)), style="dim")

    return Times()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
