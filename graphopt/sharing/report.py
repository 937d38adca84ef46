"""What sharing weights did, cost and gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphopt.inspect.fidelity import Fidelity

HEADS = ("layer", "weights", "values")


@dataclass(frozen=True)
class SharedLayer:
    """A weight, by name: how many elements it has, and how many different ones."""

    name: str
    weights: int
    values: int


@dataclass(frozen=True)
class SharingReport:
    """What became of a model.

    Attributes:
        values: how many different ones a weight may have.
        per: which weights share them: those of a `tensor`, or of a `row` of it.
        recovery: how they were fitted to the answers.
        storage: how they lie in the file.
        pipeline: that the model went through before, as text.
        samples: how many there were, `held_out` of them for comparing alone; 0 without data.
        layers: in the order of the model.
        shared, recovered: answers to the held-out samples compared with the model's, before and after recovery.
        bytes_before, bytes_after: of all constants.
        seconds: by step.

    """

    values: int
    per: str
    recovery: str
    storage: str
    pipeline: str
    samples: int
    held_out: int
    layers: tuple[SharedLayer, ...]
    shared: Fidelity | None
    recovered: Fidelity | None
    bytes_before: int
    bytes_after: int
    seconds: Mapping[str, float]

    @property
    def fidelity(self) -> Fidelity | None:
        """How the answers of the result compare with the model's."""
        return self.recovered or self.shared

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row a layer, under `HEADS`."""
        return [(layer.name, str(layer.weights), str(layer.values)) for layer in self.layers]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
