"""The models that a server has, each a program behind its queue."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from graphopt.errors import RunError, ServingError
from graphopt.runtime.module import load
from graphopt.serving.batcher import Batcher
from graphopt.serving.datatypes import datatype_of, dtype_of
from graphopt.serving.grouping import Program
from graphopt.serving.limits import Limits
from graphopt.serving.metrics import Metrics
from graphopt.serving.refusal import RefusedError
from graphopt.tensors import Array, TensorSpec

VERSION = "1"
"""Of every model: a server has one program of a name."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


class ServedModel:
    """A program under a name.

    Attributes:
        program: what runs.
        batcher: what runs it.

    """

    def __init__(self, name: str, program: Program, limits: Limits, metrics: Metrics) -> None:
        """Put a program behind a queue; raises ServingError where the protocol cannot say its name or its types."""
        if not _NAME.fullmatch(name):
            raise ServingError(f"{name!r} cannot stand in an address; name the model, as in digits={name}")
        self.name = name
        self.program = program
        self._tensors = {side: [_metadata(spec) for spec in getattr(program, side)] for side in ("inputs", "outputs")}
        self.batcher = Batcher(program, limits, partial(metrics.ran, name))
        metrics.watch(name, lambda: self.batcher.waiting)

    def metadata(self) -> dict[str, Any]:
        """Return what the protocol says of a model; -1 is a dimension of any size."""
        return {"name": self.name, "versions": [VERSION], "platform": "graphopt", **self._tensors}

    def warm_up(self) -> None:
        """Run once on zeros of all shapes that there is native code for, so that no client waits for first runs."""
        for shapes in self.program.variants or ({spec.name: _smallest(spec) for spec in self.program.inputs},):
            with self.batcher.place() as place, suppress(RunError):  # which zeros may be no input for
                place.take({spec.name: _zeros(spec, shapes[spec.name]) for spec in self.program.inputs}).result()


class ModelRepository:
    """All models of a server, running within `with`."""

    def __init__(self, programs: Mapping[str, Program], limits: Limits) -> None:
        """Put programs under their names behind queues; raises ServingError as `ServedModel`."""
        self.limits = limits
        self.metrics = Metrics()
        self._models = {name: ServedModel(name, program, limits, self.metrics) for name, program in programs.items()}
        self._ready = False

    @property
    def models(self) -> Iterable[ServedModel]:
        """The models, in the order they were given."""
        return self._models.values()

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken: not before the first runs, and not from `refuse` on."""
        return self._ready

    @property
    def is_idle(self) -> bool:
        """Whether every request that was taken has been run."""
        return all(model.batcher.is_idle for model in self.models)

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """Return a model; raises RefusedError where there is none of a name and version."""
        model = self._models.get(name)
        if model is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"there is no model {name!r}; there are {', '.join(self._models)}")
        if version not in (None, VERSION):
            raise RefusedError(HTTPStatus.NOT_FOUND, f"model {name!r} has no version {version!r}, only {VERSION!r}")
        return model

    def start(self) -> None:
        """Start the threads, and run each model for the first time."""
        for model in self.models:
            model.batcher.start()
            model.warm_up()
        self._ready = True

    def refuse(self) -> None:
        """Take no more requests; those that were taken go on."""
        self._ready = False

    def stop(self, patience: float) -> bool:
        """Answer what was taken within some seconds, and end the threads; return whether all of them ended."""
        self.refuse()
        end = time.monotonic() + patience
        ended = [model.batcher.stop(max(0.0, end - time.monotonic())) for model in self.models]
        return all(ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(self.limits.grace)


def load_programs(paths: Mapping[str, Path], trusted_key: Path | None = None) -> dict[str, Program]:
    """Load programs by name; raises as `graphopt.load`."""
    return {name: load(path, trusted_key=trusted_key) for name, path in paths.items()}


def _metadata(spec: TensorSpec) -> dict[str, Any]:
    shape = [-1] if spec.shape is None else [dim if isinstance(dim, int) else -1 for dim in spec.shape]
    return {"name": spec.name, "datatype": datatype_of(spec), "shape": shape}


def _smallest(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else 1 for dim in spec.shape or ())


def _zeros(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    if spec.dtype == "object":
        return np.full(shape, "", object)
    return np.zeros(shape, dtype_of(datatype_of(spec)))
