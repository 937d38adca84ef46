"""More samples of photographs than there are: the same from other places, as a mirror shows them too.

A layer late in a network has a thousand inputs, and sees a photograph in some fifty columns that are much alike: a
hundred photographs say little of how its inputs go together. What a network answers for a photograph that is turned
left to right, or moved a little, is known without labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from graphopt.calibration.batch import Batch
from graphopt.calibration.source import Samples
from graphopt.tensors import Array

ENOUGH = 256
"""How many samples are enough; as many views are taken of each, `MOST` at most, as make so many."""

MOST = 4

_PART = 8
"""Of the shorter side: what a view is moved by at most."""


@dataclass(frozen=True)
class Views:
    """Batches of samples with other views of each beside it: odd ones are mirrored, all but the first two moved.

    What comes in from outside is as its nearest pixel.

    Attributes:
        samples: photographs, [N, 3, height, width] in one input.
        each: how many views there are of each, itself among them.

    """

    samples: Samples
    each: int

    @property
    def count(self) -> int | None:
        """How many views there are in all, if it is known how many samples."""
        return None if self.samples.count is None else self.samples.count * self.each

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; raises CalibrationError where the samples do."""
        rng = np.random.default_rng(0)
        for batch in self.samples:
            ((name, images),) = batch.feeds.items()
            views = [images, *(_view(images, number, rng) for number in range(1, self.each))]
            yield Batch({name: np.concatenate(views)}, batch.names * self.each)


def with_views(samples: Samples) -> Samples | Views:
    """Return samples with other views of them, where they are few, photographs, and in batches of any size."""
    (spec, *others), shape = samples.fitting.inputs, samples.fitting.inputs[0].shape or ()
    is_photograph = not others and len(shape) == 4 and shape[1] == 3 and spec.dtype.startswith("float")
    each = min(ENOUGH // max(samples.count or ENOUGH, 1), MOST)
    if not is_photograph or each < 2 or samples.width == 1 or samples.fitting.fixed_batch is not None:
        return samples
    return Views(samples, each)


def _view(images: Array, number: int, rng: np.random.Generator) -> Array:
    """Return a view of each image."""
    turned = images[..., ::-1] if number % 2 else images
    if number == 1:
        return turned
    height, width = images.shape[2:]
    part = min(height, width) // _PART
    down, right = rng.integers(-part, part + 1, 2)
    rows = (np.arange(height) + down).clip(0, height - 1)
    columns = (np.arange(width) + right).clip(0, width - 1)
    return turned[:, :, rows][..., columns]
