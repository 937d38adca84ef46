"""One pass of a model over the data, with observers on the values that are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.backends.ort.session import Session
from graphopt.calibration.observers import GramObserver, ValueObserver
from graphopt.calibration.operands import operand_of
from graphopt.calibration.source import Batch
from graphopt.calibration.statistics import Statistics
from graphopt.errors import CalibrationError, ModelError, RunError
from graphopt.ir.extract import extract
from graphopt.tensors import Array, Feeds

Progress = Callable[[int], None]
"""Told, after each batch, how many samples are done."""

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


def collect(
    model: ir.Model,
    samples: Iterable[Feeds],
    values: Collection[str],
    grams: Collection[str] = (),
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> Statistics:
    """Run a model on data and observe values of its main graph; the model stays as it is.

    Memory holds the observers, which do not grow, and the observed values of one batch.

    Args:
        model: its nodes are executed by onnxruntime.
        samples: feeds that the model takes, samples along the leading axis: `Samples`, or any others.
        values: names of inputs and of outputs of nodes to make histograms of; floating-point numbers.
        grams: names of the first outputs of the Conv, Gemm and MatMul nodes to make Gram matrices for.
        threads: of onnxruntime; 0 means as many as this process may run on.
        progress: told how many samples are done.

    Raises:
        ModelError: there is no such value in the main graph, it holds no floating-point numbers, or a node that is
            named has no Gram matrix.
        CalibrationError: a sample is bad, or a value is not finite on it.

    """
    histograms = {name: ValueObserver() for name in values}
    products = {name: GramObserver(operand_of(_producer(model, name))) for name in grams}
    observers: defaultdict[str, list[ValueObserver | GramObserver]] = defaultdict(list)
    for name, histogram in histograms.items():
        observers[name].append(histogram)
    for product in products.values():
        observers[product.operand.value].append(product)
    done = _observe(Probe(model, observers, threads), samples, observers, progress)
    return Statistics(
        done,
        {name: observer.histogram for name, observer in histograms.items()},
        {name: observer.extremes for name, observer in histograms.items() if observer.extremes is not None},
        {name: gram for name, observer in products.items() if (gram := observer.result()) is not None},
    )


def _observe(
    probe: Probe,
    samples: Iterable[Feeds],
    observers: Mapping[str, Sequence[ValueObserver | GramObserver]],
    progress: Progress | None,
) -> int:
    """Show the observers what they observe, batch after batch; return how many samples there were."""
    done = 0
    for feeds in samples:
        batch = feeds if isinstance(feeds, Batch) else Batch(feeds, _numbered(feeds, done))
        for name, array in probe.run(batch):
            for observer in observers[name]:
                observer.add(array)
        done += len(batch.names)
        if progress is not None:
            progress(done)
    return done


class Probe:
    """Runs a part of a model that ends in the values that are asked for."""

    def __init__(self, model: ir.Model, values: Collection[str], threads: int) -> None:
        """Make the part; raises ModelError where a value is unknown or holds no floating-point numbers."""
        inputs = {str(value.name) for value in model.graph.inputs}
        self._fed = sorted(inputs.intersection(values))
        computed = [name for name in values if name not in inputs]
        self._session: Session | None = None
        if computed:
            self._session = reference_session(extract(model, outputs=sorted(computed)), threads=threads, optimize=True)
            for spec in self._session.outputs:
                if spec.dtype not in _FLOATS:
                    raise ModelError(f"value {spec.name!r} holds {spec.dtype}, no floating-point numbers; leave it out")

    def run(self, batch: Batch) -> Iterator[tuple[str, Array]]:
        """Yield the values of a batch by name, letting go of each.

        Raises:
            CalibrationError: it does not run, or a value is not finite.

        """
        found = {name: batch[name] for name in self._fed} | self._computed(batch)
        while found:
            name, array = found.popitem()
            if not np.isfinite(array).all():
                raise CalibrationError(
                    f"value {name!r} has a NaN or an infinity on {_listed(batch)}; leave that out, or mend the model"
                )
            yield name, _of_samples(array, batch)

    def _computed(self, batch: Batch) -> dict[str, Array]:
        if self._session is None:
            return {}
        try:
            return self._session.run({spec.name: batch[spec.name] for spec in self._session.inputs})
        except (RunError, KeyError) as error:
            raise CalibrationError(f"the model does not run on {_listed(batch)}: {error}") from error


def _of_samples(array: Array, batch: Batch) -> Array:
    """Leave out the rows that only fill a fixed batch; all stay where samples are not along the leading axis."""
    size = len(next(iter(batch.values()))) if next(iter(batch.values())).ndim else 1
    if size <= len(batch.names) or not array.ndim or array.shape[0] % size:
        return array
    return array[: array.shape[0] // size * len(batch.names)]


def _producer(model: ir.Model, name: str) -> ir.Node:
    for node in model.graph:
        if node.outputs and node.outputs[0].name == name:
            return node
    raise ModelError(f"no node of the main graph makes {name!r} as its first output; leave it out")


def _numbered(feeds: Feeds, done: int) -> tuple[str, ...]:
    first = np.asarray(next(iter(feeds.values())))
    return tuple(f"sample {done + index}" for index in range(len(first) if first.ndim else 1))


def _listed(batch: Batch) -> str:
    first, *others = batch.names
    return f"{first} to {others[-1]}" if others else first
