"""The samples of a training: which are held out, and in which order the others come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphopt.calibration.batch import Batch
from graphopt.calibration.source import Samples
from graphopt.errors import CalibrationError
from graphopt.tensors import Array

TOGETHER = 256
"""How many samples are answered at once where nothing is learnt from them."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in memory.

    Attributes:
        feeds: by input, samples along the leading axis.
        labels: the number of the class of each, int64 [samples], where they are given.

    """

    feeds: Mapping[str, Tensor]
    labels: Tensor | None = None

    @staticmethod
    def read(samples: Samples, labels: Sequence[int] | Array | None = None) -> Dataset:
        """Read all samples.

        Raises:
            CalibrationError: they are of different shapes, or there are not as many labels.

        """
        gathered: defaultdict[str, list[Array]] = defaultdict(list)
        first: Batch | None = None
        for batch in samples:
            first = first or batch
            for name, array in batch.items():
                if array.shape[1:] != first[name].shape[1:]:
                    raise CalibrationError(
                        f"input {name!r} is {list(first[name].shape[1:])} in {first} and {list(array.shape[1:])} in "
                        f"{batch}; training takes samples of one size, crop or resize them"
                    )
                gathered[name].append(batch.of_samples(array))
        feeds = {name: torch.from_numpy(np.concatenate(arrays)) for name, arrays in gathered.items()}
        found = Dataset(feeds)
        return Dataset(feeds, None if labels is None else _numbers(labels, found.count))

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.feeds.values())))

    def take(self, chosen: Tensor) -> Dataset:
        """Return the samples with the given numbers."""
        labels = None if self.labels is None else self.labels[chosen]
        return Dataset({name: feed[chosen] for name, feed in self.feeds.items()}, labels)

    def split(self, numbers: Sequence[int]) -> tuple[Dataset, Dataset | None]:
        """Part the samples with the given numbers, if any, from the others, which come first."""
        chosen = torch.zeros(self.count, dtype=torch.bool)
        chosen[list(numbers)] = True
        return self.take((~chosen).nonzero()[:, 0]), self.take(chosen.nonzero()[:, 0]) if numbers else None

    def batches(self, size: int) -> Iterator[Dataset]:
        """Yield all samples in their order."""
        for start in range(0, self.count, size):
            yield self.take(torch.arange(start, min(start + size, self.count)))


def _numbers(labels: Sequence[int] | Array, count: int) -> Tensor:
    array = np.asarray(labels).reshape(-1)
    if array.dtype.kind not in "iu":
        raise CalibrationError(
            f"labels are whole numbers, and these are {array.dtype.name}; give the number of each class"
        )
    if len(array) != count:
        raise CalibrationError(f"there are {len(array)} labels for {count} samples; give one for each, in their order")
    return torch.from_numpy(array.astype(np.int64))
