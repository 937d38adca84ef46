"""Runs a model for values inside of it, in as many runs as keep what they return within a bound."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.backends.ort.session import Session
from graphopt.calibration.batch import Batch
from graphopt.errors import CalibrationError, ModelError, RunError
from graphopt.ir.extract import extract
from graphopt.ir.load import load
from graphopt.ir.tensors import size_in_bytes
from graphopt.tensors import Array, Feeds

_LARGEST_RUN = 1 << 28
"""Bytes of the values that one run returns, by the shapes of the first batch; a larger value comes alone."""


class Probe:
    """Yields values of a model, batch after batch."""

    def __init__(self, model: ir.Model, values: Collection[str], threads: int) -> None:
        """Cut out what computes the values; raises ModelError where one is unknown or no floating-point number."""
        inputs = {str(value.name) for value in model.graph.inputs}
        computed = sorted(set(values) - inputs)
        self._fed = sorted(inputs.intersection(values))
        self._part = extract(model, outputs=computed) if computed else None
        self._threads = threads
        self._sessions: list[Session] = []
        for value in self._part.graph.outputs if self._part is not None else ():
            if value.dtype is not None and not value.dtype.is_floating_point():
                raise ModelError(
                    f"value {value.name!r} holds {value.dtype.numpy().name}, no floating-point numbers; leave it out"
                )

    def run(self, batch: Batch) -> Iterator[tuple[str, Array]]:
        """Yield the values of a batch by name, letting go of each.

        Raises:
            ModelError: onnxruntime does not accept the model.
            CalibrationError: it does not run on the batch, or a value is not finite.

        """
        for found in self._runs(batch):
            while found:
                name, values = found.popitem()
                if not np.isfinite(values).all():
                    raise CalibrationError(
                        f"value {name!r} has a NaN or an infinity on {batch}; leave that out, or mend the model"
                    )
                yield name, batch.of_samples(values)

    def _runs(self, batch: Batch) -> Iterator[dict[str, Array]]:
        yield {name: self._input(name, batch) for name in self._fed}
        if self._part is None:
            return
        feeds = {str(value.name): self._input(str(value.name), batch) for value in self._part.graph.inputs}
        try:
            self._sessions = self._sessions or self._load(self._part, feeds)
            for session in self._sessions:
                yield session.run({spec.name: feeds[spec.name] for spec in session.inputs})
        except RunError as error:
            raise CalibrationError(f"the model does not run on {batch}: {error}") from error

    def _input(self, name: str, batch: Batch) -> Array:
        if name not in batch:
            raise CalibrationError(f"{batch} has nothing for the input {name!r}; it has {', '.join(batch)}")
        return batch[name]

    def _load(self, part: ir.Model, feeds: Feeds) -> list[Session]:
        groups = _groups(part, feeds)
        parts = [part] if len(groups) == 1 else [extract(part, outputs=group) for group in groups]
        # Several sessions that keep what they needed would together hold all that one run would return.
        alone = len(parts) == 1
        return [reference_session(one, threads=self._threads, optimize=True, keep_memory=alone) for one in parts]


def _groups(part: ir.Model, feeds: Feeds) -> list[list[str]]:
    """Deal the outputs out, in the order of the nodes, to runs that stay within the bound."""
    try:
        bound = load(part, shapes={name: array.shape for name, array in feeds.items()})
    except ModelError as error:
        raise RunError(str(error)) from error
    groups: list[list[str]] = []
    room = 0
    for value in (value for node in bound.graph for value in node.outputs if value.is_graph_output()):
        size = _size(value)
        if not groups or size > room:
            groups.append([])
            room = _LARGEST_RUN
        groups[-1].append(str(value.name))
        room -= size
    return groups


def _size(value: ir.Value) -> int:
    """Return the bytes of a value, 0 where they are unknown: it goes along with others."""
    if value.shape is None or value.dtype is None:
        return 0
    return size_in_bytes(value.shape, value.dtype) or 0
