"""Shrinking against masking: the two ways to take channels out of a model give the same answers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import evaluate
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Coupling
from graphopt.coupling.mask import mask
from graphopt.coupling.shrink import shrink
from graphopt.ir.constants import constant_tensor
from graphopt.ir.verify import verify
from graphopt.numerics import difference
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
    """Count the numbers in a model's constants."""
    values = {value for node in model.graph for value in node.inputs}
    return sum(tensor.size for value in values if (tensor := constant_tensor(value)) is not None)


def shapes(model: ir.Model) -> dict[str | None, str]:
    """Return the shapes of all computed values."""
    return {value.name: str(value.shape) for node in model.graph for value in node.outputs}


def check_agreement(
    model: ir.Model, feeds: Feeds, *, share: float = 0.3, seed: int = 0, scale: float = 0.0
) -> tuple[ir.Model, Coupling]:
    """Check that a model without a share of its channels answers as the masked one does; return it.

    Differences are relative to the scale of each output, where `scale` is not larger.
    """
    coupling = couple(model)
    removal = random_removal(coupling, share, seed)
    smaller, masked = model.clone(), model.clone()
    shrink(smaller, coupling, removal)
    mask(masked, coupling, removal)
    verify(smaller, types=True)
    verify(masked, types=True)
    expected, actual = (evaluate(changed, feeds, threads=1) for changed in (masked, smaller))
    for name, array in expected.items():
        found = difference(name, array, actual[name], scale=scale)
        assert found.error <= TOLERANCE, str(found)
    assert not any(removal.values()) or shapes(smaller) != shapes(masked)
    return smaller, coupling
