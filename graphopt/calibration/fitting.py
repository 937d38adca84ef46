"""From a sample as it was found to rows that a model takes, or to a sentence that says why it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.sample import Sample
from graphopt.errors import CalibrationError, RunError
from graphopt.runtime.feeds import check, check_shapes
from graphopt.tensors import Array, TensorSpec


@dataclass(frozen=True)
class Row:
    """One sample as feeds of batch 1; `name` is the sample's."""

    name: str
    feeds: Mapping[str, Array]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of its arrays, in the order of the inputs."""
        return tuple(array.shape for array in self.feeds.values())


@dataclass(frozen=True)
class Fitting:
    """What samples must be like.

    Attributes:
        inputs: what the model takes.
        preprocessing: of arrays of uint8 for inputs of another type, which are pictures.

    """

    inputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing | None

    @property
    def has_batch(self) -> bool:
        """Whether all inputs have the same leading dimension: that of the samples."""
        leading = {spec.shape[0] if spec.shape else 0 for spec in self.inputs}
        return len(leading) == 1 and leading != {0}

    @property
    def fixed_batch(self) -> int | None:
        """How many samples a run takes, where the model says so."""
        size = self.inputs[0].shape[0] if self.has_batch and self.inputs[0].shape else 1
        return size if isinstance(size, int) else None

    def rows(self, sample: Sample) -> Iterator[Row]:
        """Yield the rows of a sample: one where it lacks the batch axis, or else as many as it has there.

        Arrays that are for no input, labels say, are left aside.

        Raises:
            CalibrationError: an input is missing, has another dtype or shape, or a NaN or an infinity in it.

        """
        arrays = {spec.name: self._array(spec, sample) for spec in self.inputs}
        if not self.has_batch:
            yield self._checked(Row(sample.name, arrays))
            return
        sizes = {name: len(array) if array.ndim else 1 for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            listed = " and ".join(f"{size} rows for {name!r}" for name, size in sizes.items())
            raise CalibrationError(f"{sample.name} has {listed}; give as many in each input")
        size = next(iter(sizes.values()))
        for index in range(size):
            name = sample.name if size == 1 else f"row {index} of {sample.name}"
            feeds = {key: array[index : index + 1] if array.ndim else array for key, array in arrays.items()}
            yield self._checked(Row(name, feeds))

    def _array(self, spec: TensorSpec, sample: Sample) -> Array:
        if spec.name not in sample.arrays:
            raise CalibrationError(
                f"{sample.name} has nothing for the input {spec.name!r}; it has {', '.join(sample.arrays) or 'nothing'}"
            )
        array = sample.arrays[spec.name]
        if self.preprocessing is not None and array.dtype == np.uint8 and array.dtype.name != spec.dtype:
            array = self._prepared(sample, spec, array, self.preprocessing)
        return array[None] if spec.shape and array.ndim == len(spec.shape) - 1 else array

    def _prepared(self, sample: Sample, spec: TensorSpec, array: Array, preprocessing: Preprocessing) -> Array:
        try:
            return preprocessing.apply(array.astype(np.uint8, copy=False), np.dtype(spec.dtype))
        except CalibrationError as error:
            raise CalibrationError(f"{sample.name}: {error}") from error

    def _checked(self, row: Row) -> Row:
        specs = [replace(spec, shape=(None, *spec.shape[1:])) if spec.shape else spec for spec in self.inputs]
        specs = specs if self.has_batch else list(self.inputs)
        try:
            feeds = check(specs, row.feeds)
            check_shapes(specs, feeds)
        except RunError as error:
            raise CalibrationError(f"{row.name}: {error}") from error
        for name, array in feeds.items():
            if array.dtype.kind in "fcV" and not np.isfinite(array).all():
                raise CalibrationError(
                    f"{row.name}: input {name!r} holds a NaN or an infinity; leave the sample out, or mend it"
                )
        return row
