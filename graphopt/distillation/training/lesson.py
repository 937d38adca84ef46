"""What a step learns from, and the gradients of it: a function of the weights, of the step's number and of the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from graphopt.distillation.augmentation import Augmentation, augmentations
from graphopt.distillation.bridge.call import Mode
from graphopt.distillation.bridge.network import Network, State
from graphopt.distillation.recipe import Recipe
from graphopt.distillation.training.augment import Augmenter
from graphopt.distillation.training.dataset import Dataset
from graphopt.distillation.training.loss import Loss, Values
from graphopt.distillation.training.teacher import Teacher
from graphopt.errors import TrainingError


class Part(NamedTuple):
    """Which part of each batch, of how many about as large; the whole of it by default."""

    number: int = 0
    of: int = 1

    def cut(self, whole: torch.Tensor) -> torch.Tensor:
        """Return the part of a tensor with samples along the leading axis."""
        count = len(whole)
        return whole[count * self.number // self.of : count * (self.number + 1) // self.of]


WHOLE = Part()


@dataclass(eq=False)
class Lesson:
    """The steps of one training.

    Attributes:
        network: the student.
        recipe: how.
        loss: of its answers.
        teacher: who tells the right ones; None where labels do.
        samples: those that are learnt from.
        part: of each batch. Gradients and losses are shares of those of whole batches then: they add up.

    """

    network: Network
    recipe: Recipe
    loss: Loss
    teacher: Teacher | None
    samples: Dataset
    part: Part = WHOLE

    def __post_init__(self) -> None:
        self._input, *others = self.samples.feeds
        shape = () if others else self.samples.feeds[self._input].shape
        changes = augmentations(self.recipe.augment, shape, taught=self.teacher is not None)
        self._check(changes, bool(others))
        self._augment = Augmenter.of(changes, self.samples.feeds[self._input])
        is_anew = self.teacher is None or changes or self.recipe.features  # features of all would fill the memory
        self._fixed = None if is_anew or self.teacher is None else self.teacher.answers(self.samples)
        self._mode = Mode(dropout=True, batch_statistics=self.recipe.batch_norm == "batch")

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only, but one at least: a small one would make a noisy step."""
        return max(self.samples.count // self.recipe.batch, 1)

    def backward(self, state: State, step: int) -> float:
        """Add the gradients of a step to those of a state; return the loss."""
        batch, told = self._batch(step)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed(2, step))  # Dropout's
            made = self.network.run(state, batch.feeds, self.loss.student_values, self._mode)
        loss = self.loss(made, told, batch.labels)
        if self.part.of > 1:
            self.loss.check_adds_up(made)
            loss = loss * (batch.count / min(self.recipe.batch, self.samples.count))
        value: float = loss.item()
        loss.backward()
        return value

    def _check(self, changes: Sequence[Augmentation], has_others: bool) -> None:
        """Refuse changes that make no sense for these samples; raises TrainingError."""
        if changes and has_others:
            raise TrainingError(
                f"augment={self.recipe.augment[0]} changes images where a model takes nothing else, and this one has "
                f"{len(self.samples.feeds)} inputs; leave augment out"
            )
        if self.teacher is None and any(change.kind == "mixup" for change in changes):
            raise TrainingError("mixup needs a teacher to say what a mixture is; leave it out of augment")

    def _batch(self, step: int) -> tuple[Dataset, Values | None]:
        """Return the samples of a step, changed, and what the teacher says of them; of the part, if it is one."""
        epoch, position = divmod(step, self.steps_per_epoch)
        random = torch.Generator().manual_seed(self._seed(0, epoch))
        order = torch.randperm(self.samples.count, generator=random)
        chosen = order[position * self.recipe.batch : (position + 1) * self.recipe.batch]
        mine = self.part.cut(chosen)
        if self._fixed is not None:
            return self.samples.take(mine), {name: values[mine] for name, values in self._fixed.items()}
        batch = self.samples.take(chosen)
        random.manual_seed(self._seed(1, step))
        feeds = {**batch.feeds, self._input: self._augment(batch.feeds[self._input], random)}
        feeds = {name: self.part.cut(feed) for name, feed in feeds.items()}
        labels = None if batch.labels is None else self.part.cut(batch.labels)
        return Dataset(feeds, labels), None if self.teacher is None else self.teacher.answer(feeds)

    def _seed(self, purpose: int, number: int) -> int:
        """Return the seed of the order of an epoch (0), the changes of a step (1), or the Dropout of one (2)."""
        return ((self.recipe.seed << 40) + (purpose << 34) + number) % (1 << 63)
