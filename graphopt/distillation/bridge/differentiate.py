"""Gradients of a model's weights on feeds, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from graphopt.distillation.answers import answers
from graphopt.distillation.bridge.network import Network
from graphopt.distillation.bridge.threads import threads_of
from graphopt.tensors import Feeds


def differentiate(
    model: ir.Model, samples: Iterable[Feeds], by_answer: bool, threads: int
) -> Iterator[tuple[Feeds, dict[str, npt.NDArray[np.float32]]]]:
    """Yield feeds with the gradient of each weight, by name; see `graphopt.distillation.gradients`."""
    network = Network(model)
    state = network.initial()
    wanted = [answer.student for answer in answers(model, model)]
    for feeds in samples:
        with threads_of(threads):
            made = network.run(
                state, {name: torch.from_numpy(np.array(array)) for name, array in feeds.items()}, wanted
            )
            loss = torch.stack([_objective(value, by_answer) for value in made.values()]).sum()
            found = torch.autograd.grad(loss, list(state.free.values()), allow_unused=True, materialize_grads=True)
        yield feeds, {name: tensor.numpy() for name, tensor in zip(state.free, found, strict=True)}


def _objective(value: Tensor, by_answer: bool) -> Tensor:
    if by_answer and value.ndim == 2 and value.shape[1] > 1:
        return functional.cross_entropy(value, value.argmax(1))
    return 0.5 * value.square().mean()
