"""How samples are changed before each step, as text: `flip`, `crop:4`, or `auto`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphopt.errors import TrainingError

DEFAULTS: Mapping[str, float] = {
    "colour": 0.2,  # brightness, contrast and saturation by up to this share
    "crop": 4,  # pixels of border, out of which the old size is cut
    "flip": 0.5,  # the share of the samples that are turned left to right
    "mixup": 1.0,  # of Beta(a, a), by which pairs of samples are mixed (Zhang et al. 2018, arXiv:1710.09412)
    "rotate": 15,  # degrees, to either side
    "translate": 0.1,  # of height and width, to either side
}
"""The kinds, each with the amount that it has where none is said."""


AUTO = "auto"
NONE = "none"
_PART = 8
"""Of the shorter side of a photograph: what `auto` moves it by at most."""


@dataclass(frozen=True)
class Augmentation:
    """One change; what comes in from outside is as dark as the darkest sample.

    Attributes:
        kind: one of `DEFAULTS`.
        amount: as said there.

    """

    kind: str
    amount: float


def augmentations(texts: Sequence[str], shape: Sequence[int], *, taught: bool) -> tuple[Augmentation, ...]:
    """Return the changes of samples of a shape.

    `auto` flips and moves photographs, [N, 3, height, width], if a teacher says what they are then, and leaves others
    alone: whatever is done to a sample, the teacher answers for the same. `none` does nothing.

    Raises:
        TrainingError: a text is none.

    """
    if tuple(texts) != (AUTO,):
        return tuple(parse_augmentation(text) for text in texts if text != NONE)
    part = min(shape[2:]) // _PART if len(shape) == 4 and shape[1] == 3 else 0
    return (parse_augmentation("flip"), Augmentation("crop", part)) if part and taught else ()


def parse_augmentation(text: str) -> Augmentation:
    """Read one; raises TrainingError."""
    kind, colon, amount = text.partition(":")
    if kind not in DEFAULTS:
        raise TrainingError(
            f"unknown augmentation {text!r}; there are {', '.join(DEFAULTS)}, as in augment=flip,crop:4; "
            f"{AUTO} and {NONE} stand alone"
        )
    if not colon:
        return Augmentation(kind, DEFAULTS[kind])
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if not (0 < number < math.inf) or (kind in {"flip", "translate"} and number > 1):
        raise TrainingError(f"the amount of augmentation {text!r} is none; give one as in {kind}:{DEFAULTS[kind]:g}")
    return Augmentation(kind, number)
