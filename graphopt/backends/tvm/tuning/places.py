"""Where kernels are measured: on this machine, or on others that TVM's RPC tracker knows.

Servers are TVM's own, `python -m tvm.exec.rpc_server --tracker HOST:PORT --key KEY`, and so is the protocol.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tvm
from tvm import rpc

from graphopt.backends.tvm.executor import BIG_CORES, announce_threads
from graphopt.backends.tvm.reason import reason_of
from graphopt.errors import MeasurementError

_PATIENCE = 30.0
"""Seconds to wait for an answer of the tracker, or for a server that is busy."""
_TIMEOUT_LOCK = threading.Lock()
_SESSION_SECONDS = 600
"""How long one comparison may take before its server gives up."""


class Session(Protocol):
    """A machine that is ours for a while."""

    @property
    def device(self) -> Any:
        """Its processor, as a `tvm.runtime.Device`."""

    def load(self, library: Path) -> Any:
        """Load a shared library there."""


class Place(Protocol):
    """Machines of one kind."""

    width: int
    """How many there are."""

    def session(self, threads: int) -> AbstractContextManager[Session]:
        """Take one of them, whose kernels then use so many threads."""


class ThisMachine:
    """The machine and the process that tune."""

    width = 1

    @contextmanager
    def session(self, threads: int) -> Iterator[Session]:
        """Set the threads of the calling thread."""
        announce_threads(threads)
        tvm.get_global_func("runtime.config_threadpool")(BIG_CORES, threads)
        yield _Here(tvm.cpu())


@dataclass(frozen=True)
class _Here:
    device: Any

    def load(self, library: Path) -> Any:
        return tvm.runtime.load_module(str(library))


class TrackedMachines:
    """The servers that a tracker has under a key; each is taken for one comparison at a time."""

    def __init__(self, address: str, key: str, *, patience: float = _PATIENCE) -> None:
        """Ask the tracker at HOST:PORT how many there are; `patience` is in seconds.

        Raises:
            MeasurementError: the address is none, nothing answers there as a tracker does, or no server has the key.

        """
        self._address, self._key, self._patience = _parse(address), key, patience
        with self._tracker() as tracker:
            served = [info["key"].removeprefix("server:") for info in tracker.summary()["server_info"]]
        self.width = served.count(key)
        if not self.width:
            others = f"its servers have {', '.join(sorted(set(served)))}" if served else "it has no servers"
            raise MeasurementError(
                f"the tracker at {address} has no server with the key {key!r}: {others}; start one by"
                f" `python -m tvm.exec.rpc_server --tracker {address} --key {key}`"
            )

    @contextmanager
    def session(self, threads: int) -> Iterator[Session]:
        """Take the server that is free first.

        Raises:
            MeasurementError: none becomes free, or it goes away.

        """
        try:
            with self._tracker() as tracker:
                server = tracker.request(self._key, session_timeout=_SESSION_SECONDS, max_retry=1)
            server.get_function("runtime.config_threadpool")(BIG_CORES, threads)
            yield _There(server, server.cpu())
        except (OSError, RuntimeError) as error:  # TVM's own are of the latter
            raise MeasurementError(
                f"a server with the key {self._key!r} failed: {reason_of(error)}; look at its log"
            ) from error

    @contextmanager
    def _tracker(self) -> Iterator[Any]:
        host, port = self._address
        try:
            with _socket_timeout(self._patience):
                socket.create_connection(self._address).close()  # TVM tries a closed port for a minute
                tracker = rpc.connect_tracker(host, port)
        except (OSError, RuntimeError) as error:
            raise MeasurementError(
                f"no tracker answers at {host}:{port} ({error}); start one by"
                f" `python -m tvm.exec.rpc_tracker --port {port}`"
            ) from error
        try:
            yield tracker
        finally:
            tracker.close()


@dataclass(frozen=True)
class _There:
    server: Any
    device: Any

    def load(self, library: Path) -> Any:
        self.server.upload(str(library))
        return self.server.load_module(library.name)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Give the sockets that are made meanwhile a timeout, since TVM's client gives them none."""
    with _TIMEOUT_LOCK:
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(seconds)
        try:
            yield
        finally:
            socket.setdefaulttimeout(before)


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise MeasurementError(f"{address!r} is no address of a tracker; write HOST:PORT, for example 10.0.0.2:9190")
    return host, int(port)
