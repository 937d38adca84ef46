"""Data of every kind as samples on their way into a model, gathered to batches that it takes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graphopt.calibration.arrays import ArrayFile
from graphopt.calibration.batch import Batch
from graphopt.calibration.fitting import Fitting, Row
from graphopt.calibration.images import ImageFolder
from graphopt.calibration.memory import Iterated, rows
from graphopt.calibration.preprocessing import NAME, Preprocessing, kept_preprocessing
from graphopt.calibration.sample import Source
from graphopt.errors import CalibrationError
from graphopt.inspect.statistics import tensor_spec
from graphopt.ir.batchwise.proof import prove_batchwise
from graphopt.ir.interface import check_interface
from graphopt.tensors import Array

Data = str | os.PathLike[str] | Mapping[str, Array] | Iterable[object]

_WIDEST = 64
_BATCH_BYTES = 1 << 18
"""Of the inputs of a batch, by default: all that lies between inputs and outputs may be a hundred times as much."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a data set, in batches; one sample is held beside the batch that is being gathered.

    They can be gone through again and again where their source can. Samples of different shapes are not gathered
    together, and none is left out.

    Attributes:
        source: where they come from.
        fitting: what they must be like.
        width: how many a batch has where the model leaves it free; None is as many as make 256 kB, 64 at most.
        start, stop: the part of the source that is read.

    """

    source: Source
    fitting: Fitting
    width: int | None = None
    start: int = 0
    stop: int | None = None

    @property
    def count(self) -> int | None:
        """How many the source has, where it knows; a feed of several rows is one of them."""
        whole = self.source.count
        if whole is None:
            return None
        return len(range(whole)[self.start : self.stop])

    def counted(self) -> int:
        """Return how many there are, read through once where the source does not know; raises CalibrationError."""
        return sum(1 for _ in self.source.read(self.start, self.stop)) if self.count is None else self.count

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; raises CalibrationError for a bad sample, by its name, and where there is none at all."""
        pending: list[Row] = []
        found = self.source.read(self.start, self.stop)
        for row in itertools.chain.from_iterable(map(self.fitting.rows, found)):
            if pending and (len(pending) == self._width(pending[0]) or row.shapes != pending[0].shapes):
                yield self._batch(pending)
                pending = []
            pending.append(row)
        if not pending:
            raise CalibrationError("there are no samples in the data; give one at least")
        yield self._batch(pending)

    def part(self, start: int, stop: int | None) -> Samples:
        """Return the samples from number `start` on, up to `stop` where it is given, counted within these."""
        within = range(self.start, self.stop if self.stop is not None else 2**63 - 1)[start:stop]
        return replace(self, start=within.start, stop=None if self.stop is None and stop is None else within.stop)

    def _width(self, row: Row) -> int:
        if not self.fitting.has_batch:
            return 1
        size = sum(array.nbytes for array in row.feeds.values())
        return self.fitting.fixed_batch or self.width or min(max(_BATCH_BYTES // max(size, 1), 1), _WIDEST)

    def _batch(self, pending: Sequence[Row]) -> Batch:
        missing = (self.fitting.fixed_batch or 0) - len(pending)
        filled = [*pending, *[pending[-1]] * missing]
        names = tuple(row.name for row in pending)
        if len(filled) == 1:
            return Batch(pending[0].feeds, names)
        return Batch({name: np.concatenate([row.feeds[name] for row in filled]) for name in pending[0].feeds}, names)


def open_samples(
    data: Data, model: ir.Model, preprocessing: Preprocessing | None = None, *, width: int | None = None
) -> Samples:
    """Open data for a model.

    Args:
        data: a .npz with arrays named as the inputs (or one, for one input), a .npy, a folder of pictures, a mapping
            of arrays, each with samples along its leading axis; or an iterable of mappings from inputs to arrays,
            each with or without a batch axis. What is a file is read as it is needed.
        model: whose inputs the samples are for.
        preprocessing: of pictures and of other arrays of uint8 where the model does not take uint8; by default what
            the model keeps (`keep_preprocessing`).
        width: how many samples to gather where the model leaves the batch free. By default one where it is not proved
            that samples do not touch each other, or else as many as make 256 kB, 64 at most.

    Raises:
        CalibrationError: there are no such data, or they cannot be for this model.
        ModelError: the model takes something else than tensors, or keeps a preprocessing that cannot be read.

    """
    if width is not None and width < 1:
        raise CalibrationError(f"a batch of {width} samples is none; give 1 or more")
    check_interface(model)
    inputs = tuple(tensor_spec(value) for value in model.graph.inputs if not value.is_initializer())
    if not inputs:
        raise CalibrationError(f"model {model.graph.name!r} takes no inputs, so there is nothing to give it")
    preprocessing = preprocessing or kept_preprocessing(model)
    source = _source(data, [spec.name for spec in inputs], preprocessing)
    fitting = Fitting(inputs, preprocessing)
    if width is None and fitting.fixed_batch is None and not prove_batchwise(model).inputs:
        width = 1
    return Samples(source, fitting, width)


def _source(data: Data, inputs: Sequence[str], preprocessing: Preprocessing | None) -> Source:
    match data:
        case str() | os.PathLike():
            return _files(Path(data), inputs, preprocessing)
        case Mapping():
            return Iterated(rows({name: np.asarray(array) for name, array in data.items()}), inputs)
        case Iterable():
            return Iterated(data, inputs)
        case _:
            raise CalibrationError(
                f"data of the type {type(data).__name__} cannot be read; give a .npz, a .npy, a folder of pictures, or "
                "an iterable of arrays by input"
            )


def _files(path: Path, inputs: Sequence[str], preprocessing: Preprocessing | None) -> Source:
    if not path.is_dir():
        return ArrayFile.at(path, inputs)
    if len(inputs) > 1:
        raise CalibrationError(
            f"{str(path)!r} is a folder of pictures, and the model has {len(inputs)} inputs; give a .npz"
        )
    if preprocessing is None:
        raise CalibrationError(
            f"how the pictures in {str(path)!r} become inputs is unknown; say it, as in "
            f"{NAME}{{resize=256 crop=224 scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225}}"
        )
    return ImageFolder.at(path, inputs[0])
