"""One sample, and where samples come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from graphopt.tensors import Array


@dataclass(frozen=True)
class Sample:
    """Arrays by input, as they were found.

    Attributes:
        name: what a person finds it by: a file, or a number and the file that it is in.

    """

    name: str
    arrays: Mapping[str, Array]


class Source(Protocol):
    """Where samples come from, one at a time."""

    @property
    def count(self) -> int | None:
        """How many there are, if that is known before they are read."""

    def read(self, start: int, stop: int | None) -> Iterator[Sample]:
        """Yield samples from number `start` on, up to `stop` where it is given; raises CalibrationError."""
