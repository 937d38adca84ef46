"""Data in two parts: what is fitted to, and what nothing is fitted to, so that answers can be compared on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphopt.calibration.drawn import select
from graphopt.calibration.labels import Classes, Labels, read_labels
from graphopt.calibration.source import Samples

SHARE = 5
"""One of so many samples is held out, by chance."""

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


def split(samples: Samples, labels: Labels | None = None, limit: int | None = None, *, seed: int = 0) -> Split:
    """Hold out some of the samples, those beyond `limit` left aside; equal seeds hold out equal ones.

    Raises:
        CalibrationError: the samples cannot be counted, or there are not as many labels.

    """
    whole = samples.counted()
    classes = None if labels is None else read_labels(labels, whole)
    count = whole if limit is None else min(whole, limit)
    held = min(max(count // SHARE, 1), MOST_HELD_OUT)
    order = np.random.default_rng(seed).permutation(count)
    judged, fitted = np.sort(order[:held]), np.sort(order[held:] if count > held else order)
    parts = select(samples, fitted.tolist()), select(samples, judged.tolist())
    if classes is None:
        return Split(count, held, *parts)
    return Split(count, held, *parts, classes[fitted], classes[judged])
