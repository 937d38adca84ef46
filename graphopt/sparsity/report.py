"""What making a model sparse did, cost and gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphopt.inspect.fidelity import Fidelity

HEADS = ("layer", "weights", "zeros", "share")


@dataclass(frozen=True)
class SparseLayer:
    """A weight, by name: how many elements it has, and how many of them are zero."""

    name: str
    weights: int
    zeros: int


@dataclass(frozen=True)
class SparsityReport:
    """What became of a model.

    Attributes:
        request: what was asked for.
        method: what told which weights go.
        recovery: how those that are left were fitted.
        storage: how they lie in the file.
        pipeline: that the model went through before, as text.
        samples: how many there were, `held_out` of them for comparing alone; 0 without data.
        layers: in the order of the model.
        sparse, recovered: answers to the held-out samples compared with the model's, before and after recovery.
        bytes_before, bytes_after: of all constants.
        seconds: by step.

    """

    request: str
    method: str
    recovery: str
    storage: str
    pipeline: str
    samples: int
    held_out: int
    layers: tuple[SparseLayer, ...]
    sparse: Fidelity | None
    recovered: Fidelity | None
    bytes_before: int
    bytes_after: int
    seconds: Mapping[str, float]

    @property
    def weights(self) -> int:
        """How many weights all layers have."""
        return sum(layer.weights for layer in self.layers)

    @property
    def zeros(self) -> int:
        """How many of them are zero."""
        return sum(layer.zeros for layer in self.layers)

    @property
    def fidelity(self) -> Fidelity | None:
        """How the answers of the result compare with the model's."""
        return self.recovered or self.sparse

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row a layer, under `HEADS`."""
        return [
            (layer.name, str(layer.weights), str(layer.zeros), f"{layer.zeros / max(layer.weights, 1):.1%}")
            for layer in self.layers
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
