"""What making a model sparse did, cost and gained."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.compiler.compression_report import CompressionReport
from graphopt.inspect.fidelity import Fidelity

HEADS = ("layer", "weights", "zeros", "share")


@dataclass(frozen=True)
class SparseLayer:
    """A weight, by name: how many elements it has, and how many of them are zero."""

    name: str
    weights: int
    zeros: int


@dataclass(frozen=True, kw_only=True)
class SparsityReport(CompressionReport):
    """What became of a model; what is not said here, `CompressionReport` says.

    Attributes:
        request: what was asked for.
        method: what told which weights go.
        layers: in the order of the model.
        sparse: answers to the held-out samples compared with the model's, before recovery; None without data.

    """

    request: str
    method: str
    layers: tuple[SparseLayer, ...]
    sparse: Fidelity | None

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
