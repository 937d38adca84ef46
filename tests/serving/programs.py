"""Programs that only pretend, with what a server asks of one, and how to talk to a server of them without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np

from graphopt.errors import RunError
from graphopt.serving.app import build_app
from graphopt.serving.limits import Limits
from graphopt.serving.repository import ModelRepository
from graphopt.tensors import Array, TensorSpec

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


class Echo:
    """Gives back what it is given, whatever type it has."""

    def __init__(self, dtype: str, shape: tuple[int | str | None, ...] | None) -> None:
        self.inputs = (TensorSpec("x", dtype, shape),)
        self.outputs = (TensorSpec("y", dtype, shape),)
        self.variants: tuple[dict[str, tuple[int, ...]], ...] = ()
        self.batched: tuple[str, ...] = ()

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        return {"y": feeds["x"]}


class Rows:
    """`y` is twice `x`, `total` the sum of each row; samples do not touch each other.

    Attributes:
        runs: the samples of each run so far.

    """

    def __init__(self, columns: int | str = 3) -> None:
        self.inputs = (TensorSpec("x", "float32", ("N", columns)),)
        self.outputs = (TensorSpec("y", "float32", ("N", columns)), TensorSpec("total", "float32", ("N",)))
        self.variants: tuple[dict[str, tuple[int, ...]], ...] = ()
        self.batched: tuple[str, ...] = ("x",)
        self.runs: list[int] = []

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        x = feeds["x"]
        if np.isnan(x).any():
            raise RunError("a sample is not a number")
        self.runs.append(len(x))
        return {"y": 2 * x, "total": x.sum(1)}


class Gated(Rows):
    """Runs only while its gate is open; it is when the server starts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.gate.set()

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        self.begun.release()
        assert self.gate.wait(PATIENCE)
        return super().run(feeds)

    def close(self) -> None:
        """Let the next run wait until the gate is open, and forget the runs that there were."""
        self.gate.clear()
        self.runs.clear()
        while self.begun.acquire(blocking=False):
            pass


@contextmanager
def serving(program: Any, **limits: Any) -> Iterator[ModelRepository]:
    """Run a program as the model `m`."""
    with ModelRepository({"m": program}, Limits(**{"grace": PATIENCE} | limits)) as repository:
        yield repository


def talk(repository: ModelRepository, conversation: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Hold a conversation with the server of some models."""

    async def hold() -> Any:
        transport = httpx.ASGITransport(build_app(repository), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=PATIENCE) as client:
            return await conversation(client)

    return asyncio.run(hold())


def question(rows: Any, **more: Any) -> dict[str, Any]:
    """Return a request for `Rows`."""
    x = np.asarray(rows, np.float32)
    return {"inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32", "data": x.tolist()}], **more}
