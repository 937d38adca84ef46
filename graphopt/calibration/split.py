"""Data in two parts: what is fitted to, and what nothing is fitted to, so that answers can be compared on it."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.calibration.labels import Classes, Labels, read_labels
from graphopt.calibration.source import Samples

SHARE = 5
"""One of so many samples is held out, the last ones."""

MOST_HELD_OUT = 256


@dataclass(frozen=True)
class Split:
    """Samples in two parts, with the class of each where labels are given.

    Attributes:
        count, held: how many there are, and how many of these are held out.
        fitted, held_out: the samples; of a single one, both hold it.
        fitted_labels, labels: their classes, int64 [samples].

    """

    count: int
    held: int
    fitted: Samples
    held_out: Samples
    fitted_labels: Classes | None = None
    labels: Classes | None = None


def split(samples: Samples, labels: Labels | None = None, limit: int | None = None) -> Split:
    """Hold out the last of some samples, those beyond `limit` left aside.

    Raises:
        CalibrationError: a sample is bad where they have to be counted, or there are not as many labels.

    """
    whole = samples.count
    if whole is None:
        whole = sum(len(batch.names) for batch in samples)
    classes = None if labels is None else read_labels(labels, whole)
    taken = whole if limit is None else min(whole, limit)
    held = min(max(taken // SHARE, 1), MOST_HELD_OUT)
    start = taken - held
    fitted, held_out = samples.part(0, start or taken), samples.part(start, taken)
    if classes is None:
        return Split(taken, held, fitted, held_out)
    return Split(taken, held, fitted, held_out, classes[: start or taken], classes[start:taken])
