"""All that a training is at one moment: enough to go on as if nothing had been."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from graphopt.distillation.bridge.network import State
from graphopt.distillation.history import Epoch


@dataclass(eq=False)
class Progress:
    """Where a training stands between two steps.

    Attributes:
        state: what the optimizer changes.
        optimizer: with what it remembers.
        average: the moving average of `state`; None where none is kept.
        best, best_number: the state of the best epoch so far, and its place in `epochs`.
        steps: how many are done.
        losses: their sum in the epoch in hand.
        epochs: those that are over.
        seconds: of all sittings.

    """

    state: State
    optimizer: torch.optim.Optimizer
    average: State | None
    best: State
    best_number: int = 0
    steps: int = 0
    losses: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def shown(self) -> State:
        """The weights that the training would end with now."""
        return self.state if self.average is None else self.average

    @property
    def best_epoch(self) -> Epoch:
        """The best epoch so far."""
        return self.epochs[self.best_number]

    def add(self, epoch: Epoch, held_out: int) -> None:
        """End an epoch that was judged on so many samples, and keep its state if it is the best."""
        self.epochs.append(epoch)
        if epoch.beats(self.best_epoch, held_out):
            self.best_number = len(self.epochs) - 1
            self.best.assign(self.shown)

    def to_dict(self) -> dict[str, Any]:
        """Return what can be stored; tensors are shared."""
        return {
            "state": _parts(self.state),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else _parts(self.average),
            "best": _parts(self.best),
            "best_number": self.best_number,
            "steps": self.steps,
            "losses": self.losses,
            "epochs": [vars(epoch) for epoch in self.epochs],
            "seconds": self.seconds,
        }

    def restore(self, stored: dict[str, Any]) -> None:
        """Take what was stored of a training of the same kind."""
        self.state.assign(State(*stored["state"]))
        self.optimizer.load_state_dict(stored["optimizer"])
        if self.average is not None:
            self.average.assign(State(*stored["average"]))
        self.best.assign(State(*stored["best"]))
        self.best_number, self.steps = stored["best_number"], stored["steps"]
        self.losses, self.seconds = stored["losses"], stored["seconds"]
        self.epochs = [Epoch(**epoch) for epoch in stored["epochs"]]


def _parts(state: State) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    return {name: tensor.detach() for name, tensor in state.free.items()}, state.statistics
