"""One pass of a model over the data, with observers on the values that are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import onnx_ir as ir

from graphopt.calibration.batch import Batch
from graphopt.calibration.observers import GramObserver, ValueObserver
from graphopt.calibration.operands import operand_of
from graphopt.calibration.probe import Probe
from graphopt.calibration.products import multiply_with
from graphopt.calibration.statistics import Statistics
from graphopt.errors import ModelError
from graphopt.tensors import Feeds

Progress = Callable[[int], None]
"""Told, after each batch, how many samples are done."""


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

    Memory holds the observers, which do not grow, and observed values of one batch, those of a model in several runs
    where they are many.

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
    multiply = multiply_with(threads)
    products = {name: GramObserver(operand_of(_producer(model, name)), multiply) for name in grams}
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
        batch = Batch.of(feeds, done)
        for name, array in probe.run(batch):
            for observer in observers[name]:
                observer.add(array)
        done += len(batch.names)
        if progress is not None:
            progress(done)
    return done


def _producer(model: ir.Model, name: str) -> ir.Node:
    for node in model.graph:
        if node.outputs and node.outputs[0].name == name:
            return node
    raise ModelError(f"no node of the main graph makes {name!r} as its first output; leave it out")
