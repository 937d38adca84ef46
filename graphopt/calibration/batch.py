"""Feeds of one run, and which samples they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from graphopt.tensors import Array, Feeds


@dataclass(frozen=True, eq=False)
class Batch(Mapping[str, Array]):
    """Feeds of a model, and which samples they are; `str` names them for a person.

    Attributes:
        feeds: arrays by input, samples along the leading axis. They have more rows than there are samples where the
            last ones do not fill a batch that the model fixes: the last one is repeated.
        names: of the samples, in their order.

    """

    feeds: Feeds
    names: tuple[str, ...]

    @staticmethod
    def of(feeds: Feeds, first: int) -> Batch:
        """Return feeds as a batch, with numbers for names from `first` on where they have none yet."""
        if isinstance(feeds, Batch):
            return feeds
        return Batch(feeds, tuple(f"sample {first + index}" for index in range(_rows(feeds))))

    def of_samples(self, values: Array) -> Array:
        """Leave out what a run made of rows that are no samples: the last of the leading axis, if it is a multiple."""
        rows = _rows(self.feeds)
        if rows <= len(self.names) or not values.ndim or values.shape[0] % rows:
            return values
        return values[: values.shape[0] // rows * len(self.names)]

    def __getitem__(self, name: str) -> Array:
        return self.feeds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.feeds)

    def __len__(self) -> int:
        return len(self.feeds)

    def __str__(self) -> str:
        first, *others = self.names
        return f"{first} to {others[-1]}" if others else first


def _rows(feeds: Feeds) -> int:
    first = np.asarray(next(iter(feeds.values())))
    return len(first) if first.ndim else 1
