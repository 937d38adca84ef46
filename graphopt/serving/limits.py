"""What a server takes on, so that its memory and the time of its answers are bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What bounds a server. Together they bound its memory: `queue` requests a model of `body` bytes each.

    Attributes:
        batch: samples that requests are put together to; one request may have more.
        delay: seconds that the first request of a batch waits for others. 0 takes what came while the batch before
            it ran, which costs a lone client nothing.
        queue: requests of one model that may wait, those whose body is still on its way among them.
        workers: threads that run one model. A program uses all the cores that it was compiled for by itself.
        body: the largest body of a request, in bytes.
        upload: seconds that a body may be on its way.
        timeout: seconds until a request that has no answer is given up; None waits as long as it takes.
        grace: seconds that a server which was told to stop takes to answer what it has taken on.
        connections: how many may be open at once.

    """

    batch: int = 32
    delay: float = 0.0
    queue: int = 256
    workers: int = 1
    body: int = 16 << 20
    upload: float = 30.0
    timeout: float | None = None
    grace: float = 30.0
    connections: int = 1000
