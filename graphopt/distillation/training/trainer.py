"""The loop: each step is a function of where the training stands and of the seed, so that it can be gone on with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from graphopt.distillation.bridge.call import INFERENCE
from graphopt.distillation.bridge.network import Network, State
from graphopt.distillation.history import Epoch, History
from graphopt.distillation.recipe import Recipe
from graphopt.distillation.schedule import rate
from graphopt.distillation.training.checkpoint import Checkpoint
from graphopt.distillation.training.dataset import TOGETHER, Dataset
from graphopt.distillation.training.interrupt import deferred_interrupt
from graphopt.distillation.training.lesson import Lesson
from graphopt.distillation.training.loss import Loss, Values
from graphopt.distillation.training.optimizer import optimizer_of
from graphopt.distillation.training.progress import Progress
from graphopt.errors import TrainingError

Report = Callable[[str, int, int | None], None]
"""Told what is done, how many steps of it are, and of how many."""


@dataclass(eq=False)
class Trainer:
    """One training.

    Attributes:
        network: the student.
        recipe: how.
        loss: of its answers.
        lesson: what is learnt.
        backward: adds the gradients of a step to those of a state, and returns the loss: `lesson.backward`, or what
            does that in several processes.
        held_out: the samples that tell how well.
        checkpoint: where the training is kept, if it is.
        report: told of the progress.

    """

    network: Network
    recipe: Recipe
    loss: Loss
    lesson: Lesson
    backward: Callable[[State, int], float]
    held_out: Dataset | None
    checkpoint: Checkpoint | None
    report: Report

    def __post_init__(self) -> None:
        teacher = self.lesson.teacher
        self._told = None if self.held_out is None or teacher is None else teacher.answers(self.held_out)
        self._steps_per_epoch = self.lesson.steps_per_epoch

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
        progress.optimizer.zero_grad()
        value = self.backward(progress.state, progress.steps)
        if not math.isfinite(value):
            epoch = progress.steps // self._steps_per_epoch + 1
            raise TrainingError(
                f"the loss is {value} in step {progress.steps + 1} (epoch {epoch}) at the rate {speed:.3g}; lower it, "
                f"as in rate={self.recipe.rate / 4:.3g}, or cut gradients off with clip=1"
            )
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(list(progress.state.free.values()), self.recipe.clip)
        progress.optimizer.step()
        if progress.average is not None:
            self._follow(progress.average, progress)
        progress.steps += 1
        progress.losses += value

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
        found = [self.network.run(state, part.feeds, wanted, INFERENCE) for part in dataset.batches(TOGETHER)]
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
            samples=self.lesson.samples.count,
            held_out=self._held_out,
            weights=sum(tensor.numel() for tensor in progress.state.free.values()),
            steps=progress.steps,
            epochs=tuple(progress.epochs),
            best=progress.best_epoch.number,
            seconds=progress.seconds,
        )
