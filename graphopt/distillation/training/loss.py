"""How far the student's answers are from the teacher's, and from labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from graphopt.distillation.answers import Answer
from graphopt.distillation.recipe import Recipe
from graphopt.errors import CalibrationError, ModelError, TrainingError

Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """The loss of a recipe for given answers."""

    recipe: Recipe
    answers: Sequence[Answer]

    @property
    def student_values(self) -> list[str]:
        """What must be known of the student."""
        return [*(answer.student for answer in self.answers), *self.recipe.features]

    @property
    def teacher_values(self) -> list[str]:
        """What must be known of the teacher."""
        return [*(answer.teacher for answer in self.answers), *self.recipe.features]

    def __call__(self, made: Values, told: Values | None, labels: Tensor | None) -> Tensor:
        """Return the loss of a batch, [].

        Args:
            made: values of the student.
            told: values of the teacher, None where there is none.
            labels: int64 [N], where they are given.

        """
        if told is None:
            return self._by_labels(made, labels)
        taught = torch.stack([self._of_answer(made[one.student], told[one.teacher]) for one in self.answers]).sum()
        if self.recipe.features:
            compared = [_relative(name, made[name], told[name]) for name in self.recipe.features]
            taught = taught + self.recipe.feature_weight * torch.stack(compared).mean()
        share = self.recipe.labels if labels is not None else 0.0
        return (1 - share) * taught + share * self._by_labels(made, labels) if share else taught

    def agreement(self, made: Values, told: Values | None, labels: Tensor | None) -> Tensor | None:
        """Return for each sample whether the best class is the teacher's, or the label's; None without scores."""
        for answer in self.answers:
            scores = made[answer.student]
            if is_scores(scores):
                right = labels if told is None else told[answer.teacher].argmax(1)
                return None if right is None else scores.argmax(1) == right
        return None

    def check_adds_up(self, made: Values) -> None:
        """Refuse losses that are no means over samples, and so not the sum of those of parts; raises TrainingError."""
        whole = [*(one.student for one in self.answers if not is_scores(made[one.student])), *self.recipe.features]
        if whole:
            raise TrainingError(
                f"{whole[0]!r} holds no scores of classes, and is compared over whole batches, which several workers "
                "cannot; train with one"
            )

    def _of_answer(self, made: Tensor, told: Tensor) -> Tensor:
        if not is_scores(made):
            return _relative("", made, told)
        if self.recipe.loss == "mse":
            return functional.mse_loss(made, told)
        heat = self.recipe.temperature
        ours, theirs = torch.log_softmax(made / heat, 1), torch.log_softmax(told / heat, 1)
        return heat**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)

    def _by_labels(self, made: Values, labels: Tensor | None) -> Tensor:
        scores = next((made[one.student] for one in self.answers if is_scores(made[one.student])), None)
        if scores is None or labels is None:
            raise ModelError("labels are for scores [N, classes], and no output has any; leave the labels out")
        if int(labels.max()) >= scores.shape[1] or int(labels.min()) < 0:
            wrong = int(labels.max()) if int(labels.max()) >= scores.shape[1] else int(labels.min())
            raise CalibrationError(
                f"label {wrong} is none of the {scores.shape[1]} classes of the model; give numbers from 0 to "
                f"{scores.shape[1] - 1}"
            )
        return functional.cross_entropy(scores, labels, label_smoothing=self.recipe.smoothing)


def is_scores(value: Tensor) -> bool:
    """Whether a value holds scores of classes, as `graphopt.inspect.fidelity` has it."""
    return bool(value.ndim == 2 and value.shape[1] > 1)


def _relative(name: str, made: Tensor, told: Tensor) -> Tensor:
    """Return ‖made - told‖² / ‖told‖²."""
    if made.shape != told.shape:
        raise ModelError(
            f"value {name!r} is {list(told.shape)} in the teacher and {list(made.shape)} in the student; compare "
            "values of one shape"
        )
    return (made - told).square().sum() / told.square().sum().clamp(min=torch.finfo(told.dtype).tiny)
