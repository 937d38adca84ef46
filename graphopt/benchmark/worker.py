"""The process of one runtime: what runs in it, and its handle.

A worker loads its side once, with the inputs, and then serves requests, one at a time, over a pipe. A request
is a function of the side's run on these inputs; the reply is what it returns, or the exception it ends with.
Between requests a worker waits in a read.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from graphopt.benchmark.resident import peak_resident
from graphopt.benchmark.runtimes import Runtime, loader_of
from graphopt.errors import GraphoptError, MeasurementError
from graphopt.tensors import Feeds

Reply = TypeVar("Reply")
Run = Callable[[], Feeds]

_GRACE = 5.0
"""Seconds that a process gets to end."""


@dataclass(frozen=True)
class Opened:
    """What a worker says of its side once it is loaded; see `Side`.

    Attributes:
        resident: the most bytes that the process had in memory before it loaded the model, None if unknown.

    """

    threads: int
    version: str
    resident: int | None


class Worker:
    """The handle of a worker, in the process that asks; a context manager, at whose end the worker is gone."""

    def __init__(self, name: str, runtime: Runtime, path: Path, threads: int, feeds: Feeds) -> None:
        """Start a process and load its side.

        Raises:
            GraphoptError: the runtime does not take the model.
            MeasurementError: the process ended, or the side failed otherwise.

        """
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._connection, theirs = context.Pipe()
        arguments = theirs, runtime, path, threads, feeds
        self._process = context.Process(target=_serve, args=arguments, name=f"graphopt bench: {name}", daemon=True)
        try:
            with _InterruptsBlocked():  # the mask is inherited: Ctrl-C is for the asking process alone
                self._process.start()
            theirs.close()
            opened = self._receive()
        except BaseException:
            self.close()
            raise
        self.threads, self.version, self.resident = opened.threads, opened.version, opened.resident

    def ask(self, request: Callable[[Run], Reply]) -> Reply:
        """Have the worker call a function that can be pickled; raises as `__init__` does."""
        try:
            self._connection.send(request)
        except OSError as error:
            raise self._ended() from error
        reply: Reply = self._receive()
        return reply

    def close(self) -> None:
        """End the process, whatever it is at: it holds nothing that would have to be put away."""
        self._connection.close()
        if self._process.pid is None:
            return
        self._process.terminate()
        self._process.join(_GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> Any:
        try:
            reply = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def _ended(self) -> MeasurementError:
        self._process.join(_GRACE)
        code = self._process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return MeasurementError(f"the process of {self.name} {how}; run the model there alone to see why")


class _InterruptsBlocked:
    """Keeps SIGINT waiting, in this thread and in what it starts."""

    def __enter__(self) -> None:
        resource_tracker.ensure_running()  # whoever starts this helper of multiprocessing finds SIGINT unblocked
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _serve(connection: Connection, runtime: Runtime, path: Path, threads: int, feeds: Feeds) -> None:
    """Be a worker: the body of its process."""
    try:
        load = loader_of(runtime)
        before = peak_resident()
        side = load(path, threads)
    except Exception as error:  # noqa: BLE001  # of any runtime: it is reported where the worker was asked for
        connection.send(_portable(error))
        return
    run = partial(side.run, feeds)
    reply: object = Opened(side.threads, side.version, before)
    while True:
        try:
            connection.send(reply)
            request = connection.recv()
        except (EOFError, OSError):
            return  # nobody asks any more
        try:
            reply = request(run)
        except Exception as error:  # noqa: BLE001  # as above
            reply = _portable(error)


def _portable(error: Exception) -> GraphoptError:
    """Return an exception that can be sent: others than ours may hold what cannot be pickled."""
    if isinstance(error, GraphoptError):
        return type(error)(str(error))
    first = (str(error).strip() or "no reason given").partition("\n")[0]
    return MeasurementError(f"it fails with {type(error).__name__}: {first}")
