"""How a network is trained, as one text.

    distill{epochs=30 rate=0.02 augment=flip,crop:4}

Options that are left out have values that suit a few hundred to some thousand images without labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from graphopt.distillation.augmentation import AUTO, augmentations
from graphopt.errors import TrainingError
from graphopt.pipeline.options import OptionError, build, format_options
from graphopt.spec import Spec, SpecError, parse_spec

NAME = "distill"


@dataclass(frozen=True)
class Recipe:
    """What a training does.

    Attributes:
        epochs: how often it goes through the samples.
        batch: samples a step.
        optimizer: stochastic gradient descent, Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019).
        rate: the highest learning rate.
        momentum, nesterov: of `sgd`.
        weight_decay: of factors of sums, not of biases and normalizations.
        schedule: of the rate. `step` multiplies it by `decay` at each of the `milestones`, `exponential` goes down to
            `decay` evenly, `cosine` to zero (Loshchilov & Hutter 2017).
        warm_up: the share of all steps in which the rate rises from zero.
        milestones: shares of all steps.
        decay: see `schedule`.
        clip: the largest norm of all gradients together; 0 leaves them.
        loss: of scores: `kl` is the divergence at the `temperature` (Hinton et al. 2015, arXiv:1503.02531), `mse` the
            squared difference of logits. Outputs that are no scores have their squared difference, relative to the
            teacher's own square.
        temperature: what logits are divided by in `kl`.
        labels: the share of the labels in the loss, where they are given.
        smoothing: what of a label is spread over all classes.
        features: names of values of both models to compare too, as outputs that are no scores.
        feature_weight: of their mean.
        augment: what is done to the samples, anew in each epoch: `flip`, `crop:4`, `rotate:15`, `translate:0.1`,
            `colour:0.2`, `mixup`; `none`; or `auto`, which is `flip` and `crop` for photographs that a teacher answers
            (`graphopt.distillation.augmentation`).
        average: the decay of the moving average of weights that is kept in place of them; 0 keeps them.
        held_out: the share of the samples that is not trained on: the best epoch is the one that answers most of them
            as the teacher does (`graphopt.distillation.history.Epoch.beats`).
        patience: stop after so many epochs that were no better; 0 never does.
        batch_norm: normalize by `stored` statistics, or by those of the `batch`, which the stored ones follow.
        seed: of the order, the augmentation, Dropout and what is held out.

    Raises:
        TrainingError: numbers that make no sense.

    """

    epochs: int = 100
    batch: int = 64
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    rate: float = 0.02
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: Literal["constant", "step", "exponential", "cosine"] = "cosine"
    warm_up: float = 0.05
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay: float = 0.1
    clip: float = 1.0
    loss: Literal["kl", "mse"] = "kl"
    temperature: float = 4.0
    labels: float = 0.5
    smoothing: float = 0.0
    features: tuple[str, ...] = ()
    feature_weight: float = 1.0
    augment: tuple[str, ...] = (AUTO,)
    average: float = 0.0
    held_out: float = 0.1
    patience: int = 0
    batch_norm: Literal["stored", "batch"] = "stored"
    seed: int = 0

    def __post_init__(self) -> None:
        for option, least in (("epochs", 1), ("batch", 1), ("patience", 0), ("seed", 0)):
            self._check(option, getattr(self, option) >= least, f"{least} or more")
        for option in ("rate", "temperature", "decay"):
            self._check(option, 0 < getattr(self, option) < math.inf, "above 0")
        for option in ("weight_decay", "clip", "feature_weight"):
            self._check(option, 0 <= getattr(self, option) < math.inf, "0 or more")
        for option in ("momentum", "average", "held_out", "smoothing", "warm_up"):
            self._check(option, 0 <= getattr(self, option) < 1, "from 0 to below 1")
        self._check("labels", 0 <= self.labels <= 1, "from 0 to 1")
        self._check("milestones", all(0 < share < 1 for share in self.milestones), "shares between 0 and 1")
        if self.nesterov and not self.momentum and self.optimizer == "sgd":
            raise TrainingError(f"Nesterov's step of {NAME!r} needs momentum; give momentum=0.9, or nesterov=false")
        augmentations(self.augment, (), taught=True)

    def __str__(self) -> str:
        return str(Spec(NAME, format_options(self)))

    def _check(self, field: str, is_right: bool, wanted: str) -> None:
        if not is_right:
            option = field.replace("_", "-")
            raise TrainingError(f"option {option}={getattr(self, field)} of {NAME!r} must be {wanted}")


def parse_recipe(text: str) -> Recipe:
    """Read the text of a recipe; raises TrainingError."""
    try:
        spec = parse_spec(text)
        if spec.name != NAME:
            raise TrainingError(f"cannot read {text!r}: it is called {NAME!r}, as in {NAME}{{epochs=30 rate=0.02}}")
        return build(Recipe, spec, "recipe")
    except (SpecError, OptionError) as error:
        raise TrainingError(f"cannot read the recipe: {error}") from error
