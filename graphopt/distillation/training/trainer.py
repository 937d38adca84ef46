"""The loop: each step is a function of where the training stands and of the seed, so that it can be gone on with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from graphopt.distillation.augmentation import Augmentation, augmentations
from graphopt.distillation.bridge.call import INFERENCE, Mode
from graphopt.distillation.bridge.network import Network, State
from graphopt.distillation.history import Epoch, History
from graphopt.distillation.recipe import Recipe
from graphopt.distillation.schedule import rate
from graphopt.distillation.training.augment import Augmenter
from graphopt.distillation.training.checkpoint import Checkpoint
from graphopt.distillation.training.dataset import Dataset
from graphopt.distillation.training.interrupt import deferred_interrupt
from graphopt.distillation.training.loss import Loss, Values
from graphopt.distillation.training.optimizer import optimizer_of
from graphopt.distillation.training.progress import Progress
from graphopt.distillation.training.teacher import Teacher
from graphopt.errors import TrainingError

Report = Callable[[str, int, int | None], None]
"""Told what is done, how many steps of it are, and of how many."""

_JUDGED = 256
"""How many held-out samples are answered together."""


@dataclass(eq=False)
class Trainer:
    """One training.

    Attributes:
        network: the student.
        recipe: how.
        loss: of its answers.
        teacher: who tells the right ones; None where labels do.
        trained, held_out: the samples, those that are learnt from and those that tell how well.
        checkpoint: where the training is kept, if it is.
        report: told of the progress.

    """

    network: Network
    recipe: Recipe
    loss: Loss
    teacher: Teacher | None
    trained: Dataset
    held_out: Dataset | None
    checkpoint: Checkpoint | None
    report: Report

    def __post_init__(self) -> None:
        self._input, *others = self.trained.feeds
        shape = () if others else self.trained.feeds[self._input].shape
        changes = augmentations(self.recipe.augment, shape, taught=self.teacher is not None)
        self._check(changes, bool(others))
        self._augment = Augmenter.of(changes, self.trained.feeds[self._input])
        is_anew = changes or self.recipe.features  # features of all samples would fill the memory
        self._fixed = None if is_anew else self._answers(self.trained)
        self._told = None if self.held_out is None else self._answers(self.held_out)
        self._mode = Mode(dropout=True, batch_statistics=self.recipe.batch_norm == "batch")

    def run(self, *, resume: bool = False) -> tuple[State, History]:
        """Train; return the best state and what the training was like.

        Raises:
            TrainingError: the loss is not finite, or there is nothing to go on from.
            KeyboardInterrupt: asked for by the user; the checkpoint is written before.

        """
        progress = self._start()
        if resume and self.checkpoint is not None:
            self.checkpoint.load(progress)
        if not progress.epochs:
            progress.add(self._judge(progress, None), self._held_out)
        total = self.recipe.epochs * self._steps_per_epoch
        with deferred_interrupt() as interrupted:
            while progress.steps < total and not self._is_stale(progress):
                self._advance(progress, total)
                if interrupted():
                    self._save(progress)
                    raise KeyboardInterrupt
        return progress.best, self._history(progress)

    @property
    def _steps_per_epoch(self) -> int:
        """Whole batches only, but one at least: a small one would make a noisy step."""
        return max(self.trained.count // self.recipe.batch, 1)

    def _check(self, changes: Sequence[Augmentation], has_others: bool) -> None:
        """Refuse changes that make no sense for these samples; raises TrainingError."""
        if changes and has_others:
            raise TrainingError(
                f"augment={self.recipe.augment[0]} changes images where a model takes nothing else, and this one has "
                f"{len(self.trained.feeds)} inputs; leave augment out"
            )
        if self.teacher is None and any(change.kind == "mixup" for change in changes):
            raise TrainingError("mixup needs a teacher to say what a mixture is; leave it out of augment")

    @property
    def _held_out(self) -> int:
        return 0 if self.held_out is None else self.held_out.count

    def _start(self) -> Progress:
        state = self.network.initial()
        optimizer = optimizer_of(self.recipe, state.free, self.network.decays)
        return Progress(state, optimizer, state.copy() if self.recipe.average else None, state.copy())

    def _advance(self, progress: Progress, total: int) -> None:
        """Do one step, and what is due at the end of an epoch."""
        began = time.perf_counter()
        self._step(progress, total)
        is_end = progress.steps % self._steps_per_epoch == 0
        if is_end:
            self._close(progress)
        progress.seconds += time.perf_counter() - began
        if is_end:
            self._save(progress)
        self.report(self._headline(progress), progress.steps, total)

    def _step(self, progress: Progress, total: int) -> None:
        speed = rate(self.recipe, progress.steps, total)
        for group in progress.optimizer.param_groups:
            group["lr"] = speed
        batch, told = self._batch(progress.steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed(2, progress.steps))  # Dropout's
            made = self.network.run(progress.state, batch.feeds, self.loss.student_values, self._mode)
        loss = self.loss(made, told, batch.labels)
        value = loss.item()
        if not math.isfinite(value):
            epoch = progress.steps // self._steps_per_epoch + 1
            raise TrainingError(
                f"the loss is {value} in step {progress.steps + 1} (epoch {epoch}) at the rate {speed:.3g}; lower it, "
                f"as in rate={self.recipe.rate / 4:.3g}, or cut gradients off with clip=1"
            )
        progress.optimizer.zero_grad()
        loss.backward()
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(list(progress.state.free.values()), self.recipe.clip)
        progress.optimizer.step()
        if progress.average is not None:
            self._follow(progress.average, progress)
        progress.steps += 1
        progress.losses += value

    def _batch(self, step: int) -> tuple[Dataset, Values | None]:
        """Return the samples of a step, changed, and what the teacher says of them."""
        epoch, position = divmod(step, self._steps_per_epoch)
        random = torch.Generator().manual_seed(self._seed(0, epoch))
        order = torch.randperm(self.trained.count, generator=random)
        chosen = order[position * self.recipe.batch : (position + 1) * self.recipe.batch]
        batch = self.trained.take(chosen)
        if self._fixed is not None:
            return batch, {name: values[chosen] for name, values in self._fixed.items()}
        random.manual_seed(self._seed(1, step))
        feeds = {**batch.feeds, self._input: self._augment(batch.feeds[self._input], random)}
        return Dataset(feeds, batch.labels), None if self.teacher is None else self.teacher.answer(feeds)

    def _answers(self, dataset: Dataset) -> Values | None:
        """Return what the teacher says of samples as they are."""
        if self.teacher is None:
            return None
        found = [self.teacher.answer(part.feeds) for part in dataset.batches(_JUDGED)]
        return {name: torch.cat([values[name] for values in found]) for name in found[0]}

    def _close(self, progress: Progress) -> None:
        """End an epoch."""
        progress.add(self._judge(progress, progress.losses / self._steps_per_epoch), self._held_out)
        progress.losses = 0.0

    def _judge(self, progress: Progress, loss: float | None) -> Epoch:
        speed = progress.optimizer.param_groups[0]["lr"]
        number = progress.steps // self._steps_per_epoch
        if self.held_out is None:
            return Epoch(number, speed, loss, None, None)
        with torch.no_grad():
            made = self._made(progress.shown, self.held_out)
            agreed = self.loss.agreement(made, self._told, self.held_out.labels)
            held = self.loss(made, self._told, self.held_out.labels).item()
        return Epoch(number, speed, loss, held, None if agreed is None else agreed.double().mean().item())

    def _made(self, state: State, dataset: Dataset) -> Values:
        wanted = self.loss.student_values
        found = [self.network.run(state, part.feeds, wanted, INFERENCE) for part in dataset.batches(_JUDGED)]
        return {name: torch.cat([values[name] for values in found]) for name in wanted}

    def _follow(self, average: State, progress: Progress) -> None:
        """Let the moving average follow; it starts fast, so that the first weights are forgotten."""
        share = 1 - min(self.recipe.average, (1 + progress.steps) / (10 + progress.steps))
        for name, tensor in average.free.items():
            tensor.lerp_(progress.state.free[name].detach(), share)
        for name, tensor in average.statistics.items():
            tensor.copy_(progress.state.statistics[name])

    def _is_stale(self, progress: Progress) -> bool:
        if not self.recipe.patience or self.held_out is None or progress.steps % self._steps_per_epoch:
            return False
        return progress.epochs[-1].number - progress.best_epoch.number >= self.recipe.patience

    def _save(self, progress: Progress) -> None:
        if self.checkpoint is not None:
            self.checkpoint.save(progress)

    def _headline(self, progress: Progress) -> str:
        epoch = min(progress.steps // self._steps_per_epoch + 1, self.recipe.epochs)
        done = progress.steps % self._steps_per_epoch
        loss = progress.losses / done if done else progress.epochs[-1].loss
        agreement = progress.epochs[-1].agreement
        known = "" if agreement is None else f", same answer {agreement:.1%}"
        return f"epoch {epoch}, loss {loss:.3g}{known}"

    def _history(self, progress: Progress) -> History:
        return History(
            recipe=str(self.recipe),
            samples=self.trained.count,
            held_out=self._held_out,
            weights=sum(tensor.numel() for tensor in progress.state.free.values()),
            steps=progress.steps,
            epochs=tuple(progress.epochs),
            best=progress.best_epoch.number,
            seconds=progress.seconds,
        )

    def _seed(self, purpose: int, number: int) -> int:
        """Return the seed of the order of an epoch (0), the changes of a step (1), or the Dropout of one (2)."""
        return ((self.recipe.seed << 40) + (purpose << 34) + number) % (1 << 63)
