"""What sharing weights did, cost and gained."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.compiler.compression_report import CompressionReport
from graphopt.inspect.fidelity import Fidelity

HEADS = ("layer", "weights", "values")


@dataclass(frozen=True)
class SharedLayer:
    """A weight, by name: how many elements it has, and how many different ones."""

    name: str
    weights: int
    values: int


@dataclass(frozen=True, kw_only=True)
class SharingReport(CompressionReport):
    """What became of a model; what is not said here, `CompressionReport` says.

    Attributes:
        values: how many different ones a weight may have.
        per: which weights share them: those of a `tensor`, or of a `row` of it.
        layers: in the order of the model.
        shared: answers to the held-out samples compared with the model's, before recovery; None without data.

    """

    values: int
    per: str
    layers: tuple[SharedLayer, ...]
    shared: Fidelity | None

    @property
    def fidelity(self) -> Fidelity | None:
        """How the answers of the result compare with the model's."""
        return self.recovered or self.shared

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row a layer, under `HEADS`."""
        return [(layer.name, str(layer.weights), str(layer.values)) for layer in self.layers]
