"""A server in this process: it listens, and stops when it is told to without losing a request that it has taken."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from graphopt.errors import ServingError
from graphopt.serving.app import build_app
from graphopt.serving.connection import BoundedConnection
from graphopt.serving.limits import Limits
from graphopt.serving.repository import ModelRepository

_POLL = 0.02
"""Seconds between two looks at whether all requests are answered."""
_LAST_WRITES = 5
"""Seconds that clients may take to read the answers that are theirs."""
_LAST_RUN = 1.0
"""Seconds that threads may take to end when their queues are empty."""
_INTERRUPTED = 130
_ATTENTIVE = (700, 10, 10)
"""Python's own thresholds."""
_BACKLOG = 2048


def serve(repository: ModelRepository, host: str, port: int, on_start: Callable[[str], None]) -> None:
    """Serve models until SIGTERM or SIGINT, and return when all that was taken is answered or the grace is over.

    On the signal the server says that it is not ready and refuses new requests with 503; health and metrics go on
    until the last request has its answer. A second signal ends it at once.

    Args:
        repository: what is served; started and stopped here.
        host: the address to listen on.
        port: to listen on; 0 takes a free one.
        on_start: called with the address, `http://127.0.0.1:8000`, when requests are taken.

    Raises:
        ServingError: it cannot listen there.
        KeyboardInterrupt: a second signal ended it.

    """
    listener = _listen(host, port)
    repository.start()
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    server = _Server(repository, lambda: on_start(address))
    with _attentive_collector():
        server.run(sockets=[listener])
    if not repository.stop(_LAST_RUN):  # nothing interrupts a run, and the interpreter cannot end beside it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_INTERRUPTED if server.force_exit else 0)
    if server.force_exit:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Uvicorn, which drains the queues before it closes its sockets, and ends with no signal but a plain return."""

    def __init__(self, repository: ModelRepository, on_start: Callable[[], None]) -> None:
        super().__init__(_config(repository))
        self._repository = repository
        self._on_start = on_start
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Begin to stop at the first signal, end at the second."""
        if self._repository.is_ready and self._loop is not None:
            self._repository.refuse()
            self._loop.call_soon_threadsafe(self._drain)
        else:
            self.should_exit = self.force_exit = True

    def _drain(self) -> None:
        self._draining = asyncio.ensure_future(self._wait_for_answers())

    async def _wait_for_answers(self) -> None:
        end = time.monotonic() + self._repository.limits.grace
        while not self._repository.is_idle and time.monotonic() < end:
            await asyncio.sleep(_POLL)
        if not self._repository.is_idle:
            self.config.timeout_graceful_shutdown = 0  # what still runs is answered 503 now
        self._repository.stop(0.0)
        self.should_exit = True


@contextmanager
def _attentive_collector() -> Iterator[None]:
    """Let Python's collector start as often as it does by default, and pass over what was there before.

    Each request leaves a few objects that refer to each other. The command line lets the collector start rarely, for
    graphs that all live, and a server would grow by 5 kB a request.
    """
    earlier = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_ATTENTIVE)
    try:
        yield
    finally:
        gc.set_threshold(*earlier)
        gc.unfreeze()


def _config(repository: ModelRepository) -> uvicorn.Config:
    limits: Limits = repository.limits
    return uvicorn.Config(
        build_app(repository),
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=_LAST_WRITES,
    )


def _listen(host: str, port: int) -> socket.socket:
    """Open a socket that says it speaks TCP: asyncio sends at once only on such, and holds answers 40 ms otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServingError(f"cannot listen on {host}:{port}: {reason}; choose another --host or --port") from error
