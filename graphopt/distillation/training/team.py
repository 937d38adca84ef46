"""One training in several processes, of one machine or of several: each has the gradients of its part of every batch.

The first process holds what changes: optimizer, averages, checkpoints. Before a step it tells the others the weights,
behind it it takes the sum of all gradients, both by torch.distributed (gloo). Processes hold nothing that could drift
apart, and the result is that of one process but for the order of sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from graphopt.distillation.bridge.network import State
from graphopt.distillation.history import History
from graphopt.distillation.training.interrupt import deferred_interrupt
from graphopt.distillation.training.lesson import WHOLE, Lesson, Part
from graphopt.errors import TrainingError

_END = -1
"""The step that there is none after."""


@contextmanager
def joined(workers: int) -> Iterator[Part]:
    """Meet the other processes for the body; yield which part of each batch is this one's.

    Raises:
        TrainingError: torchrun did not start so many.

    """
    started = int(os.environ["WORLD_SIZE"]) if distributed.is_torchelastic_launched() else 1
    if started != workers:
        raise TrainingError(
            f"{workers} workers are asked for, and the processes that were started are {started}; torchrun starts "
            f"them, on one machine by: torchrun --nproc-per-node {workers} -m graphopt distill … --workers {workers}"
        )
    if workers == 1:
        yield WHOLE
        return
    distributed.init_process_group("gloo")
    try:
        yield Part(distributed.get_rank(), workers)
    finally:
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Team:
    """This process among those of a training.

    Attributes:
        lesson: with the part of this one.

    """

    lesson: Lesson

    def check_alike(self, identity: Mapping[str, str]) -> None:
        """Refuse to train where one has another recipe, student or data; raises TrainingError in all."""
        found: list[Mapping[str, str]] = [{}] * self.lesson.part.of
        with _reaching():
            distributed.all_gather_object(found, identity)
        for number, other in enumerate(found):
            for what, mine in found[0].items():
                if other[what] != mine:
                    raise TrainingError(f"worker {number} has another {what} than worker 0; give all of them the same")

    def train(self, run: Callable[[], tuple[State, History]], state: State) -> tuple[State, History]:
        """Train in the first process, by steps of `backward`, and serve there in the others; all return the result.

        Args:
            run: the training.
            state: for the weights that the first process tells.

        Raises:
            TrainingError: another process goes away.

        """
        if self.lesson.part.number:
            self._serve(state)
            return self._shared(None)
        try:
            result = run()
        except BaseException:
            with suppress(TrainingError):
                self._tell(_END)
                self._shared(None)
            raise
        self._tell(_END)
        return self._shared(result)

    def backward(self, state: State, step: int) -> float:
        """Add the gradients of a step, of all processes, to those of a state; return the loss."""
        self._tell(step)
        return self._step(state, step)

    def _serve(self, state: State) -> None:
        with deferred_interrupt():  # the first process has to save before it ends the training
            while (step := self._tell(_END)) != _END:
                self._step(state, step)

    def _step(self, state: State, step: int) -> float:
        weights = list(state.free.values())
        with _reaching(), torch.no_grad():
            _put(weights, _told(_flat(weights)))
        for weight in weights:
            weight.grad = None
        value = self.lesson.backward(state, step)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        total = _flat([*gradients, torch.tensor([value])])
        with _reaching():
            distributed.reduce(total, 0)
        _put(gradients, total)
        return float(total[-1])

    def _tell(self, step: int) -> int:
        """Return the step that the first process says."""
        with _reaching():
            return int(_told(torch.tensor([step])))

    def _shared(self, result: tuple[State, History] | None) -> tuple[State, History]:
        """Return the result of the first process."""
        told = [result]
        with _reaching():
            distributed.broadcast_object_list(told, 0)
        if told[0] is None:
            raise TrainingError("the training ended in the first of the workers; look at what it says")
        return told[0]


def _told(tensor: Tensor) -> Tensor:
    distributed.broadcast(tensor, 0)
    return tensor


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _put(tensors: list[Tensor], flat: Tensor) -> None:
    """Write numbers one after the other into tensors."""
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].reshape(tensor.shape))
        start += tensor.numel()


@contextmanager
def _reaching() -> Iterator[None]:
    """Say that another process cannot be reached."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another worker of the training went away; look at what it says, and resume from the checkpoint if there "
            "is one"
        ) from error
