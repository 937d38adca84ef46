"""One program behind a bounded queue: a fixed pool of threads runs what waits, put together to batches.

The threads are made once and end with the server. TVM keeps a pool of workers for each thread that calls it, so a
thread a request would make a pool a request.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from graphopt.serving.grouping import Grouping, Program
from graphopt.serving.limits import Limits
from graphopt.serving.refusal import busy
from graphopt.tensors import Array

Results = dict[str, Array]


@dataclass(eq=False)
class _Waiting:
    """A request in the queue.

    Attributes:
        key: of those that it can run with; None of nobody.
        since: the time of its arrival, by `time.monotonic`.
        answer: set exactly once, by the thread that took the request or by `stop`, or cancelled by who asked.

    """

    feeds: Mapping[str, Array]
    samples: int
    key: Hashable
    since: float
    answer: Future[Results]


class Batcher:
    """The queue of one program and the threads that empty it.

    Args:
        program: to be run; several threads run it at once where there are several workers.
        limits: `batch`, `delay`, `queue` and `workers` of them.
        observe: called with the samples of each run and its seconds.

    """

    def __init__(
        self, program: Program, limits: Limits, observe: Callable[[int, float], None] = lambda _samples, _seconds: None
    ) -> None:
        self._program = program
        self._limits = limits
        self._observe = observe
        self._grouping = Grouping(program)
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._expected = self._running = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"graphopt-serving-{index}", daemon=True)
            for index in range(limits.workers)
        ]

    @property
    def waiting(self) -> int:
        """How many requests wait, those that are still being read among them."""
        return self._expected + len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        with self._changed:
            return not (self._expected or self._queue or self._running)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Take a place in the queue for a request that is about to be read; left unused, it is given back.

        Raises:
            RefusedError: there is none left, or the server stops.

        """
        with self._changed:
            if self._stopping:
                raise busy("the server is stopping; ask another one")
            if self.waiting >= self._limits.queue:
                raise busy(f"{self.waiting} requests are waiting already; try again later")
            self._expected += 1
        place = Place(self)
        try:
            yield place
        finally:
            if not place.used:
                self._give_back()

    def stop(self, patience: float) -> bool:
        """Take no more requests, answer those that wait, and end the threads.

        What has no answer within `patience` seconds is refused, but for what runs, which nothing can interrupt.

        Returns:
            Whether all threads ended.

        """
        end = time.monotonic() + patience
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, end - time.monotonic()))
        with self._changed:
            late = list(self._queue)
            self._queue.clear()
        refusal = busy("the server stopped before it was the request's turn; ask another one")
        for request in late:
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_exception(refusal)
        return not any(thread.is_alive() for thread in started)

    def _give_back(self) -> None:
        with self._changed:
            self._expected -= 1
            self._changed.notify_all()  # the threads of a server that stops wait for what is still being read

    def _put(self, feeds: Mapping[str, Array]) -> Future[Results]:
        samples, key = self._grouping.samples(feeds), self._grouping.key(feeds)
        request = _Waiting(feeds, samples, key, time.monotonic(), Future())
        with self._changed:
            self._expected -= 1
            self._queue.append(request)
            self._changed.notify()
        request.answer.add_done_callback(lambda answer: self._drop(request) if answer.cancelled() else None)
        return request.answer

    def _drop(self, request: _Waiting) -> None:
        with self._changed:
            if request in self._queue:
                self._queue.remove(request)

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._run(batch)
            finally:
                with self._changed:
                    self._running -= len(batch)

    def _take(self) -> list[_Waiting]:
        """Wait for a batch and take it out of the queue; empty where the server stops and nothing is left."""
        with self._changed:
            while True:
                batch = self._batch()
                if batch and (patience := self._patience(batch)) > 0:
                    self._changed.wait(patience)
                elif batch:
                    for request in batch:
                        self._queue.remove(request)
                    batch = [request for request in batch if request.answer.set_running_or_notify_cancel()]
                    if batch:
                        self._running += len(batch)
                        return batch
                elif self._stopping and not self._expected:
                    return []
                else:
                    self._changed.wait()

    def _batch(self) -> list[_Waiting]:
        """Return the request that waits longest and those behind it that run with it, as many as fit."""
        if not self._queue:
            return []
        head = self._queue[0]
        batch, samples = [head], head.samples
        for request in list(self._queue)[1:] if head.key is not None else ():
            if samples >= self._limits.batch:
                break
            if request.key == head.key and samples + request.samples <= self._limits.batch:
                batch.append(request)
                samples += request.samples
        return batch

    def _patience(self, batch: list[_Waiting]) -> float:
        """Return for how many seconds a batch may wait for more."""
        full = sum(request.samples for request in batch) >= self._limits.batch
        if full or self._stopping or batch[0].key is None:
            return 0.0
        return batch[0].since + self._limits.delay - time.monotonic()

    def _run(self, batch: list[_Waiting]) -> None:
        """Answer a batch; where it fails as a whole each request runs by itself, so that one fails for nobody else."""
        sizes = [request.samples for request in batch]
        start = time.perf_counter()
        try:
            results = self._program.run(self._grouping.join([request.feeds for request in batch]))
            answers = self._grouping.split(results, sizes)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for request in batch:
                self._run([request])
            return
        self._observe(sum(sizes), time.perf_counter() - start)
        for request, answer in zip(batch, answers, strict=True):
            request.answer.set_result(answer)


class Place:
    """A place in the queue of a program, for one request."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self.used = False

    def take(self, feeds: Mapping[str, Array]) -> Future[Results]:
        """Put a request there, whose arrays fit the program; return its answer.

        Cancelled before its turn, the request leaves the queue. What the run raised, `RefusedError` where the server
        stopped first, is the answer's exception.
        """
        self.used = True
        return self._batcher._put(feeds)  # noqa: SLF001  # a place is a part of its queue
