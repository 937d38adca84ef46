"""Samples that are in memory, or made one after the other by the caller's own code."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized

import numpy as np

from graphopt.calibration.sample import Sample
from graphopt.errors import CalibrationError
from graphopt.tensors import Array


class Iterated:
    """What an iterable yields: arrays by input, or just arrays where the model has one input.

    An iterator, such as a generator, can be read once.
    """

    def __init__(self, samples: Iterable[object], inputs: Sequence[str]) -> None:
        self._samples = samples
        self._inputs = inputs
        self._is_spent = False

    @property
    def count(self) -> int | None:
        """How many there are, where the iterable knows."""
        return len(self._samples) if isinstance(self._samples, Sized) else None

    def read(self, start: int, stop: int | None) -> Iterator[Sample]:
        """Yield the samples; raises CalibrationError for what is none, and at the second reading of an iterator."""
        if self._is_spent:
            raise CalibrationError(
                "the samples are needed again, and come from an iterator that is spent; give a list, or an object "
                "whose __iter__ starts anew"
            )
        self._is_spent = isinstance(self._samples, Iterator)
        for index, sample in itertools.islice(enumerate(self._samples), start, stop):
            name = f"sample {index}"
            yield Sample(name, self._arrays(name, sample))

    def _arrays(self, name: str, sample: object) -> Mapping[str, Array]:
        if isinstance(sample, Mapping):
            return {key: np.asarray(array) for key, array in sample.items()}
        if isinstance(sample, np.ndarray) and len(self._inputs) == 1:
            return {self._inputs[0]: sample}
        raise CalibrationError(
            f"{name} is of the type {type(sample).__name__}; give arrays by input: {', '.join(self._inputs)}"
        )


def rows(arrays: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Return views of the rows of arrays, side by side; raises CalibrationError where there are not as many in each."""
    lengths = {name: len(array) if np.ndim(array) else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} for {name!r}" for name, length in lengths.items())
        raise CalibrationError(f"there are {listed}; give as many samples for each input")
    return [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
