"""Shrinking against masking: the two ways to take channels out of a model give the same answers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import evaluate
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Coupling
from graphopt.coupling.mask import mask
from graphopt.coupling.shrink import shrink
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.tensors import Feeds

TOLERANCE = 1e-5


def random_removal(coupling: Coupling, share: float, seed: int) -> dict[str, list[int]]:
    """Choose a share of the channels of every group, at least one and never all."""
    rng = np.random.default_rng(seed)
    counts = {group.name: len(group.channels) for group in coupling.groups}
    return {
        name: sorted(rng.choice(count, min(max(1, round(share * count)), count - 1), replace=False).tolist())
        for name, count in counts.items()
    }


def elements(model: ir.Model) -> int:
    """Count the numbers in a model's initializers."""
    return sum(value.const_value.size for value in model.graph.initializers.values() if value.const_value is not None)


def check_agreement(model: ir.Model, feeds: Feeds, *, share: float = 0.3, seed: int = 0) -> tuple[ir.Model, Coupling]:
    """Check that a model without a share of its channels answers as the masked one does; return it."""
    coupling = couple(model)
    removal = random_removal(coupling, share, seed)
    smaller, masked = model.clone(), model.clone()
    shrink(smaller, coupling, removal)
    mask(masked, coupling, removal)
    verify(smaller, types=True)
    verify(masked, types=True)
    worst = differences(evaluate(masked, feeds, threads=1), evaluate(smaller, feeds, threads=1))[0]
    assert worst.error <= TOLERANCE, str(worst)
    return smaller, coupling
