"""How the answers of a model depend on its weights: gradients without labels and without training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.distillation.engine import check_installed
from graphopt.tensors import Feeds

Gradients = Mapping[str, npt.NDArray[np.float32]]


class Objective(StrEnum):
    """What is differentiated; the mean over the samples of a batch.

    Members:
        ANSWER: -log of the share that the best class has in the model's own scores; of outputs [N, classes], and of
            others as POWER.
        POWER: half the mean of the squared elements of the outputs.

    """

    ANSWER = "answer"
    POWER = "power"


def gradients(
    model: ir.Model, samples: Iterable[Feeds], objective: Objective = Objective.ANSWER, *, threads: int = 1
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the gradient of each weight, by the name of its initializer: the mean over all samples.

    Args:
        model: its main graph; constants are initializers behind the usual passes.
        samples: feeds, samples along the leading axis.
        objective: what is differentiated.
        threads: of PyTorch.

    Raises:
        TargetError: PyTorch is missing.
        ModelError: an operator has no gradient, or no output is of floating-point numbers.

    """
    total: dict[str, npt.NDArray[np.float32]] = {}
    count = 0
    for feeds, found in each_gradient(model, samples, objective, threads=threads):
        rows = max((len(array) for array in feeds.values() if array.ndim), default=1)
        count += rows
        for name, gradient in found.items():
            total[name] = total[name] + rows * gradient if name in total else rows * gradient
    return {name: gradient / np.float32(max(count, 1)) for name, gradient in total.items()}


def each_gradient(
    model: ir.Model, samples: Iterable[Feeds], objective: Objective = Objective.ANSWER, *, threads: int = 1
) -> Iterator[tuple[Feeds, Gradients]]:
    """Yield feeds and the gradients of each weight on them: squares of these make a Fisher information.

    Arguments and errors are those of `gradients`.
    """
    check_installed()
    from graphopt.distillation.bridge.differentiate import differentiate  # noqa: PLC0415  # PyTorch is an extra

    yield from differentiate(model, samples, objective is Objective.ANSWER, threads)
