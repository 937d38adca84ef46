"""All that a training needs, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from graphopt.calibration.source import Samples
from graphopt.distillation.answers import answers, check_features
from graphopt.distillation.bridge.network import Network
from graphopt.distillation.bridge.threads import threads_of
from graphopt.distillation.checkpoint_file import CheckpointFile
from graphopt.distillation.constraints import Constraint
from graphopt.distillation.held_out import held_out_numbers
from graphopt.distillation.history import History
from graphopt.distillation.recipe import Recipe
from graphopt.distillation.training.checkpoint import Checkpoint
from graphopt.distillation.training.dataset import Dataset
from graphopt.distillation.training.loss import Loss
from graphopt.distillation.training.teacher import Teacher
from graphopt.distillation.training.trainer import Report, Trainer
from graphopt.errors import TrainingError
from graphopt.tensors import Array


class Session:
    """Two models and a recipe; see `graphopt.distillation.distill`."""

    def __init__(
        self,
        teacher: ir.Model | None,
        student: ir.Model,
        recipe: Recipe,
        constraints: Mapping[str, Constraint],
        threads: int,
    ) -> None:
        self._student, self._recipe, self._threads = student, recipe, threads
        self._network = Network(student, constraints)
        if not self._network.names:
            raise TrainingError(
                f"model {student.graph.name!r} has no weights that can change; run the usual passes before"
            )
        check_features(student if teacher is None else teacher, student, recipe.features)
        self._loss = Loss(recipe, answers(student if teacher is None else teacher, student))
        self._teacher = None if teacher is None else Teacher(teacher, self._loss.teacher_values, threads)

    def run(
        self,
        samples: Samples,
        labels: Sequence[int] | Array | None,
        checkpoint: CheckpointFile | None,
        report: Report,
    ) -> tuple[ir.Model, History]:
        """Train a copy of the student; return it and what the training was like."""
        report("reading samples", 0, samples.count)
        dataset = Dataset.read(samples, labels)
        start = self._network.initial()
        kept = None if checkpoint is None else Checkpoint.of(checkpoint.path, self._recipe, dataset, start)
        with threads_of(self._threads):
            trained, held_out = dataset.split(held_out_numbers(self._recipe, dataset.count))
            trainer = Trainer(self._network, self._recipe, self._loss, self._teacher, trained, held_out, kept, report)
            state, history = trainer.run(resume=checkpoint is not None and checkpoint.resume)
        model = self._student.clone()
        self._network.write(state, model)
        return model, history
