"""The criteria by their names: what makes a channel of a group more important than another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import numpy as np
import onnx_ir as ir

from graphopt.coupling.groups import Coupling
from graphopt.pruning.importance.activity import activation, activation_weight
from graphopt.pruning.importance.elimination import eliminate
from graphopt.pruning.importance.evidence import Evidence
from graphopt.pruning.importance.gradient import first_order
from graphopt.pruning.importance.magnitude import above_threshold, l1, l2
from graphopt.pruning.importance.masking import output_kl
from graphopt.quantization.rows import Float64


class Criterion(StrEnum):
    """How channels are ranked; `NEEDS_SAMPLES` and `NEEDS_GRAMS` say for which ones data are needed."""

    L1 = "l1"
    L2 = "l2"
    RANDOM = "random"
    MAGNITUDE = "magnitude"
    ACTIVATION = "activation"
    ACTIVATION_WEIGHT = "activation-weight"
    OUTPUT_KL = "output-kl"
    FIRST_ORDER = "first-order"
    OBS = "obs"


NEEDS_SAMPLES = frozenset(
    {Criterion.ACTIVATION, Criterion.ACTIVATION_WEIGHT, Criterion.OUTPUT_KL, Criterion.FIRST_ORDER}
)
NEEDS_GRAMS = frozenset({Criterion.OBS})


def score(criterion: Criterion, model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return how important each channel is, [channels] by the name of its group; the smallest leaves first.

    Scores of one group compare; those of different groups only where the criterion's docstring says what they share:
    shares of something for `magnitude`, `activation` and `obs`, divergences of the answers for `output-kl`.

    Raises:
        CalibrationError: the criterion needs data that the evidence lacks.
        ModelError: a weight is not finite, or the criterion does not apply to the model.

    """
    return _SCORES[criterion](model, coupling, evidence)


def _random(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:  # noqa: ARG001
    """Return numbers that say nothing, the baseline of every criterion; equal for equal seeds."""
    rng = np.random.default_rng(evidence.seed)
    return {group.name: rng.random(len(group.channels)) for group in coupling.groups}


def _obs(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return the error of the group when a channel and all that left before it are gone."""
    found = {}
    for group in coupling.groups:
        elimination = eliminate(model, group, evidence.statistics.grams)
        found[group.name] = np.zeros(len(group.channels))
        found[group.name][elimination.order] = elimination.error[1:]
    return found


_SCORES: Mapping[Criterion, Callable[[ir.Model, Coupling, Evidence], dict[str, Float64]]] = {
    Criterion.L1: l1,
    Criterion.L2: l2,
    Criterion.RANDOM: _random,
    Criterion.MAGNITUDE: above_threshold,
    Criterion.ACTIVATION: activation,
    Criterion.ACTIVATION_WEIGHT: activation_weight,
    Criterion.OUTPUT_KL: output_kl,
    Criterion.FIRST_ORDER: first_order,
    Criterion.OBS: _obs,
}
