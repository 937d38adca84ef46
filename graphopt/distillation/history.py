"""What a training was like, epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """Where the training stood behind one epoch.

    Attributes:
        number: 0 is before the first.
        rate: the learning rate of its last step.
        loss: the mean over its steps; None before the first.
        held_out_loss: on the samples that are held out; None where none are.
        agreement: the share of these that have the same best class as the teacher says, or the label where there is
            no teacher; None for outputs that are no scores.

    """

    number: int
    rate: float
    loss: float | None
    held_out_loss: float | None
    agreement: float | None

    def beats(self, best: Epoch, held_out: int) -> bool:
        """Whether this one, which is later, answers better than the best so far.

        It does where it agrees more often, by more than the standard error of a share of so many samples, or not less
        often by that, with a loss that is no higher: of a few samples, the agreement alone is mostly chance.
        """
        if self.held_out_loss is None or best.held_out_loss is None:
            return True
        if self.agreement is not None and best.agreement is not None:
            error = math.sqrt(best.agreement * (1 - best.agreement) / held_out)
            if abs(self.agreement - best.agreement) > error:
                return self.agreement > best.agreement
        return self.held_out_loss <= best.held_out_loss


@dataclass(frozen=True)
class History:
    """A training.

    Attributes:
        recipe: as text.
        samples: how many were trained on.
        held_out: how many were not.
        weights: how many numbers were free to change.
        steps: how many were done.
        epochs: the first is of the model as it was given.
        best: the number of the epoch whose weights the model has.
        seconds: of all sittings.

    """

    recipe: str
    samples: int
    held_out: int
    weights: int
    steps: int
    epochs: tuple[Epoch, ...]
    best: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
