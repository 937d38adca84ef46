"""All that a training needs, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from graphopt.calibration.source import Samples
from graphopt.distillation.answers import answers, check_features
from graphopt.distillation.bridge.network import Network, State
from graphopt.distillation.bridge.threads import threads_of
from graphopt.distillation.checkpoint_file import CheckpointFile
from graphopt.distillation.constraints import Constraint
from graphopt.distillation.held_out import held_out_numbers
from graphopt.distillation.history import History
from graphopt.distillation.recipe import Recipe
from graphopt.distillation.training.checkpoint import Checkpoint, identity_of
from graphopt.distillation.training.dataset import Dataset
from graphopt.distillation.training.lesson import Lesson, Part
from graphopt.distillation.training.loss import Loss
from graphopt.distillation.training.teacher import Teacher
from graphopt.distillation.training.team import Team, joined
from graphopt.distillation.training.trainer import Report, Trainer
from graphopt.errors import TrainingError
from graphopt.ir.walk import is_op, label
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
        workers: int = 1,
    ) -> None:
        self._student, self._recipe, self._threads, self._workers = student, recipe, threads, workers
        if workers > 1:
            self._check_parts()
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
        with threads_of(self._threads), joined(self._workers) as part:
            state, history = self._train(dataset, checkpoint, report, part)
        model = self._student.clone()
        self._network.write(state, model)
        return model, history

    def _train(
        self, dataset: Dataset, checkpoint: CheckpointFile | None, report: Report, part: Part
    ) -> tuple[State, History]:
        start = self._network.initial()
        trained, held_out = dataset.split(held_out_numbers(self._recipe, dataset.count))
        if (count := min(self._recipe.batch, trained.count)) < part.of:
            raise TrainingError(f"a batch of {count} samples has no part for each of {part.of} workers; take fewer")
        lesson = Lesson(self._network, self._recipe, self._loss, self._teacher, trained, part)
        identity = identity_of(self._recipe, dataset, start)
        kept = None if checkpoint is None else Checkpoint(checkpoint.path, identity)

        def run(backward: Callable[[State, int], float]) -> tuple[State, History]:
            trainer = Trainer(self._network, self._recipe, self._loss, lesson, backward, held_out, kept, report)
            return trainer.run(resume=checkpoint is not None and checkpoint.resume)

        if part.of == 1:
            return run(lesson.backward)
        team = Team(lesson)
        team.check_alike(identity)
        return team.train(lambda: run(team.backward), start)

    def _check_parts(self) -> None:
        """Refuse what is not the same in parts of a batch; raises TrainingError."""
        if self._recipe.batch_norm == "batch":
            raise TrainingError("batch-norm=batch is about whole batches, which several workers part; leave it out")
        if dropout := next((node for node in self._student.graph if is_op(node, "Dropout")), None):
            raise TrainingError(
                f"node {label(dropout)} drops numbers at random in a whole batch, which several workers part; "
                "train with one"
            )
