"""A training in a file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from graphopt.digests import digest
from graphopt.distillation.bridge.network import State
from graphopt.distillation.recipe import Recipe
from graphopt.distillation.training.dataset import Dataset
from graphopt.distillation.training.progress import Progress
from graphopt.errors import TrainingError
from graphopt.files import atomic_path

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A file for one training, of which it knows the recipe, the data and the first weights.

    Attributes:
        path: where it is.
        identity: what must be the same to go on, by what a person calls it.

    """

    path: Path
    identity: Mapping[str, str]

    def save(self, progress: Progress) -> None:
        """Write it in place of what was there; raises OutputError."""
        with atomic_path(self.path) as temporary:
            torch.save({"format": _FORMAT, "identity": dict(self.identity), **progress.to_dict()}, temporary)

    def load(self, progress: Progress) -> None:
        """Read it into a training that has not begun.

        Raises:
            TrainingError: there is none, it cannot be read, or it is of another training.

        """
        try:
            stored = torch.load(self.path, weights_only=True)
        except OSError as error:
            raise TrainingError(
                f"there is no checkpoint {str(self.path)!r} to go on from ({error.strerror or error}); start "
                "anew without resuming"
            ) from error
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise TrainingError(f"{str(self.path)!r} is no checkpoint; give the file that a training wrote") from error
        if not isinstance(stored, dict) or stored.get("format") != _FORMAT:
            raise TrainingError(f"{str(self.path)!r} is no checkpoint of this version; start anew without resuming")
        for what, mine in self.identity.items():
            if (theirs := stored["identity"].get(what)) != mine:
                shown = f" ({theirs}, not {mine})" if what == "recipe" else ""
                raise TrainingError(
                    f"checkpoint {str(self.path)!r} is of another {what}{shown}; go on with what it was made with, "
                    "or start anew without resuming"
                )
        progress.restore(stored)


def identity_of(recipe: Recipe, dataset: Dataset, state: State) -> dict[str, str]:
    """Return what tells a training that starts with a state from others, by what a person calls it."""
    weights = digest(tensor.detach().numpy().tobytes() for tensor in (*state.free.values(), *state.statistics.values()))
    samples = digest(feed.numpy().tobytes() for feed in dataset.feeds.values())
    return {"recipe": str(recipe), "student": weights.hex(), "data": samples.hex()}
