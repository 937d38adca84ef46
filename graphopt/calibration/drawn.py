"""Some of the samples, by their numbers or by chance: those that lie side by side are often alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphopt.calibration.images import ImageFolder
from graphopt.calibration.sample import Sample, Source
from graphopt.calibration.source import Samples


@dataclass(frozen=True)
class Selected:
    """The samples of a source with given numbers, in their order; those between them are read, and left aside.

    Attributes:
        source: where they come from.
        numbers: rising.

    """

    source: Source
    numbers: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.numbers)

    def read(self, start: int, stop: int | None) -> Iterator[Sample]:
        """Yield them from number `start` among these on; raises CalibrationError where the source does."""
        wanted = self.numbers[start:stop]
        if not wanted:
            return
        left = frozenset(wanted)
        for number, sample in enumerate(self.source.read(wanted[0], wanted[-1] + 1), start=wanted[0]):
            if number in left:
                yield sample


def select(samples: Samples, numbers: Sequence[int]) -> Samples:
    """Return the samples with given numbers, counted within these, in rising order; other pictures are not decoded."""
    absolute = tuple(sorted(samples.start + number for number in numbers))
    source = samples.source
    chosen = (
        replace(source, paths=tuple(source.paths[number] for number in absolute))
        if isinstance(source, ImageFolder)
        else Selected(source, absolute)
    )
    return replace(samples, source=chosen, start=0, stop=None)


def draw(samples: Samples, limit: int, *, seed: int = 0) -> Samples:
    """Return so many of the samples by chance, all where they are no more.

    Data in files are often sorted by what they show: the first ones say nothing of the others. Only numbers are held,
    and samples that do not know how many they are are gone through once to be counted.

    Args:
        samples: to draw from.
        limit: how many to take at most.
        seed: equal ones draw equal numbers; of a smaller limit, some of those of a larger one.

    Raises:
        CalibrationError: the samples cannot be counted.

    """
    whole = samples.counted()
    if whole <= limit:
        return samples
    return select(samples, np.random.default_rng(seed).permutation(whole)[:limit].tolist())
