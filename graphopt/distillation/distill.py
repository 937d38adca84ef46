"""Teach one model what another answers, on samples without labels or with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.source import Samples
from graphopt.distillation.checkpoint_file import CheckpointFile
from graphopt.distillation.constraints import Constraint
from graphopt.distillation.engine import check_installed
from graphopt.distillation.history import History
from graphopt.distillation.recipe import Recipe
from graphopt.errors import TrainingError
from graphopt.tensors import Array

Progress = Callable[[str, int, int | None], None]
"""Told what is done, how many steps of it are, and of how many."""


class Distilled(NamedTuple):
    """A trained model and what the training was like."""

    model: ir.Model
    history: History


def distill(  # noqa: PLR0913  # all that can be asked of it
    teacher: ir.Model | None,
    student: ir.Model,
    samples: Samples,
    recipe: Recipe | None = None,
    *,
    constraints: Mapping[str, Constraint] | None = None,
    labels: Sequence[int] | Array | None = None,
    checkpoint: CheckpointFile | None = None,
    threads: int = 0,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> Distilled:
    """Train a copy of the student; the models stay as they are.

    Weights of floating-point numbers change in their own type. Those that a DequantizeLinear reads stay integers with
    the scales they have: the network computes with the rounded ones, and gradients go straight through the rounding.

    Args:
        teacher: has the inputs and outputs of the student; onnxruntime runs it. None where labels teach alone.
        student: PyTorch runs its main graph; constants are initializers behind the usual passes.
        samples: all are held in memory.
        recipe: how; by default what suits some hundreds of samples or more.
        constraints: what is kept of initializers, by name.
        labels: the number of the class of each sample, in their order.
        checkpoint: where the training is kept.
        threads: of PyTorch and onnxruntime; 0 means as many as this process may run on.
        workers: processes that train together, all of which call this; torchrun starts them. Each computes a part of
            every batch, and all return the same; needs scores of classes, and no Dropout or batch statistics.
        on_progress: told of each step.

    Raises:
        TargetError: PyTorch is missing.
        ModelError: the models do not fit together, or an operator of the student has no gradient.
        CalibrationError: the samples or the labels.
        TrainingError: the recipe, the checkpoint, or a loss that is not finite.
        OutputError: the checkpoint cannot be written.
        KeyboardInterrupt: the checkpoint, if any, is written before.

    """
    check_installed()
    from graphopt.distillation.training.session import Session  # noqa: PLC0415  # PyTorch is an extra

    if teacher is None and labels is None:
        raise TrainingError("there is nothing to learn from; give a teacher, or labels")
    session = Session(teacher, student, recipe or Recipe(), constraints or {}, threads, workers)
    return Distilled(*session.run(samples, labels, checkpoint, on_progress or (lambda *_: None)))
