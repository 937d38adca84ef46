"""What it costs the answers to leave a group with fewer channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphopt.growth import grown

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The error at some widths of a group; between them it grows as `graphopt.growth` says.

    Attributes:
        widths: ascending; the last is that of all channels.
        errors: mean square error of the answers, or what stands for it; falling, and 0 at the last width.

    """

    widths: tuple[int, ...]
    errors: tuple[float, ...]

    @staticmethod
    def of(channels: int, measured: Mapping[int, float]) -> Curve:
        """Return the curve through measured errors by width: none is below a wider group's, as chance can make it."""
        widths = sorted({*measured, channels})
        errors: list[float] = [0.0]
        for width in reversed(widths[:-1]):
            errors.append(max(errors[-1], measured[width]))
        return Curve(tuple(widths), tuple(reversed(errors)))

    def __call__(self, width: int) -> float:
        """Return the error at a width."""
        gone, errors = self._growth
        left = self.widths[-1] - width
        return grown(left, gone, errors) if left > 0 else 0.0

    @cached_property
    def _growth(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """How many channels are gone at the measured widths, ascending, and the errors."""
        return tuple(self.widths[-1] - width for width in self.widths[-2::-1]), self.errors[-2::-1]


def by_scores(scores: Float64, widths: Sequence[int]) -> Curve:
    """Return the curve of a group that no data say more of than scores, [channels].

    Layers follow each other, and of what each of them lets pass the next gets a share; so with the share s of the
    scores that leave, -log(1 - s) adds up along the network, and grows without bounds for a group that is emptied.
    """
    falling = np.sort(scores - min(float(scores.min()), 0.0))[::-1]
    total = float(falling.sum()) or 1.0
    kept = np.cumsum(falling) / total
    tiny = np.finfo(np.float64).tiny
    return Curve.of(len(scores), {width: float(-np.log(max(kept[width - 1], tiny))) for width in widths})


def widths_to_measure(widths: Sequence[int], levels: int) -> tuple[int, ...]:
    """Return at most so many of a group's widths: the widest but for all of it, and the narrowest.

    Those between leave out by the same factor more each: few channels leave most groups, and errors grow as powers.
    """
    narrower = widths[1:]
    if len(narrower) <= levels:
        return tuple(narrower)
    counts = np.unique(np.geomspace(1, len(narrower), levels).round().astype(int))
    return tuple(narrower[count - 1] for count in counts)
