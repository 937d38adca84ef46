"""What one pass over the data found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from graphopt.calibration.extremes import Extremes
from graphopt.calibration.gram import Gram
from graphopt.calibration.histogram import Histogram

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Statistics:
    """What values a model's tensors take, and what its layers multiply their weights with.

    Attributes:
        samples: how many there were.
        histograms: by the name of the value.
        extremes: of each channel, by the name of the value.
        grams: by the name of the node's first output.

    """

    samples: int = 0
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    extremes: Mapping[str, Extremes] = field(default_factory=dict)
    grams: Mapping[str, Gram] = field(default_factory=dict)

    def merge(self, other: Statistics) -> Statistics:
        """Return the statistics of the samples of both; histograms and extremes are those of one pass exactly."""
        return Statistics(
            self.samples + other.samples,
            _merged(self.histograms, other.histograms, Histogram.merge),
            _merged(self.extremes, other.extremes, Extremes.merge),
            _merged(self.grams, other.grams, Gram.merge),
        )


def _merged(
    first: Mapping[str, _Part], second: Mapping[str, _Part], merge: Callable[[_Part, _Part], _Part]
) -> dict[str, _Part]:
    both = {name: merge(first[name], second[name]) for name in first if name in second}
    return {**first, **second, **both}
