"""Going through a model on data from the front to the back, a few nodes at a time.

A layer is fitted to what those before it compute once they are fitted. Run anew for each layer, the whole would cost
the square of its depth; instead what is alive between two steps is held, where it is small enough, and the next step
starts from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.session import Session
from graphopt.calibration.batch import Batch
from graphopt.errors import CalibrationError, RunError
from graphopt.ir.walk import is_op, reads
from graphopt.pruning.recovery.segment import load_segment
from graphopt.tensors import Array, Feeds

HELD = 1 << 30
"""Bytes of values that are held between two steps; where there are more, the next step starts where this one did."""


class Walk:
    """A model on its way through the data. Weights of nodes that no step has needed may change between two steps.

    Args:
        model: whose main graph is walked.
        steps: the names of the values that each step wants.
        samples: gone through anew in each step until what is alive is small enough to be held.
        threads: of onnxruntime; 0 means as many as this process may run on.

    """

    def __init__(
        self, model: ir.Model, steps: Iterable[Collection[str]], samples: Iterable[Feeds], threads: int
    ) -> None:
        self._model = model
        self._steps = list(steps)
        self._samples = samples
        self._threads = threads
        self._values = {str(value.name): value for value in _values(model.graph)}
        self._done: set[ir.Node] = set()
        self._start = {str(value.name) for value in model.graph.inputs if not value.is_initializer()}
        self._held: list[tuple[Batch, Feeds]] | None = None

    def advance(self) -> Iterator[Mapping[str, Array]]:
        """Yield, batch by batch, the values that the next step wants, made by the nodes before them as they are now.

        Raises:
            CalibrationError: the model does not run on a batch, or a value is not finite.

        """
        wanted = self._steps.pop(0)
        done = self._done | self._needed(wanted)
        alive = {str(value.name) for value in self._alive(done)}
        computed = (alive | set(wanted)) - self._start
        session: Session | None = None
        held: list[tuple[Batch, Feeds]] | None = []
        room = HELD
        for batch, feeds in self._batches():
            if computed and session is None:
                session = load_segment(self._model, self._needed(computed), feeds, computed, self._threads)
            made = {**feeds, **(_run(session, batch, feeds) if session is not None else {})}
            yield {name: _checked(name, batch, made[name]) for name in wanted}
            if held is not None:
                kept = {name: made[name] for name in alive}
                room -= sum(array.nbytes for array in kept.values())
                held.append((_outline(batch), kept))
                held = held if room >= 0 else None
        if held is not None:
            self._held, self._start, self._done = held, alive, done

    def _batches(self) -> Iterator[tuple[Batch, Feeds]]:
        """Yield what the next step starts from, and the batch that it is of."""
        if self._held is not None:
            yield from self._held
            return
        done = 0
        for feeds in self._samples:
            batch = Batch.of(feeds, done)
            done += len(batch.names)
            yield batch, batch.feeds
        if not done:
            raise CalibrationError("there are no samples to refit with; give data that can be gone through again")

    def _needed(self, wanted: Iterable[str]) -> set[ir.Node]:
        """Return the nodes between what is held and what is wanted."""
        needed: set[ir.Node] = set()
        pending = [self._values[name] for name in wanted if name not in self._start]
        while pending:
            node = pending.pop().producer()
            if node is not None and node not in needed and (node not in self._done or is_op(node, "Constant")):
                needed.add(node)
                pending.extend(value for value in reads(node) if value.name not in self._start)
        return needed

    def _alive(self, done: Collection[ir.Node]) -> Iterator[ir.Value]:
        """Yield what nodes that are done, or the inputs, give to those that are not, and to later steps."""
        read = (value for node in self._model.graph if node not in done for value in reads(node))
        later = (self._values[name] for step in self._steps for name in step)
        for value in itertools.chain(read, later):
            producer = value.producer()
            is_there = producer in done if producer is not None else value.is_graph_input()
            if is_there and not value.is_initializer() and not is_op(producer, "Constant"):
                yield value


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _run(session: Session, batch: Batch, feeds: Feeds) -> Feeds:
    try:
        return session.run({spec.name: feeds[spec.name] for spec in session.inputs})
    except RunError as error:
        raise CalibrationError(f"the model does not run on {batch}: {error}") from error


def _checked(name: str, batch: Batch, values: Array) -> Array:
    """Return a value without the rows that fill up a batch, all of it finite."""
    if not np.isfinite(values).all():
        raise CalibrationError(f"value {name!r} has a NaN or an infinity on {batch}; leave that out, or mend the model")
    return batch.of_samples(values)


def _outline(batch: Batch) -> Batch:
    """Return a batch that knows its samples and rows, and does not hold the feeds."""
    rows = max(len(array) if array.ndim else 1 for array in batch.feeds.values())
    return Batch({"rows": np.empty((rows, 0))}, batch.names)
