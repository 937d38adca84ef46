"""What a training was like, epoch by epoch."""

from __future__ import annotations

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

    @property
    def merit(self) -> tuple[float, float]:
        """What epochs are compared by: the agreement, then the loss."""
        return (
            0.0 if self.agreement is None else self.agreement,
            0.0 if self.held_out_loss is None else -self.held_out_loss,
        )


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
