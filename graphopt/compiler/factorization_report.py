"""What factoring did to a model: before, after layers became chains, after these were fitted to what there was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphopt.pruning.report import StagesReport, State


@dataclass(frozen=True)
class FactoredLayer:
    """A layer that became a chain.

    Attributes:
        layer: the name of the value that it makes.
        weight: its shape before, [outputs, inputs / groups, *kernel] or that of the matrix.
        form: with its ranks.
        before, after: what it costs in the measure that was asked for.
        error: the mean square that it errs by, as a share of that of what it makes.
        answers: the mean square that the answers err by where it alone is a chain, relative to theirs; what stands for
            it where there are no data.

    """

    layer: str
    weight: tuple[int, ...]
    form: str
    before: int
    after: int
    error: float
    answers: float


@dataclass(frozen=True, kw_only=True)
class FactorizationReport(StagesReport):
    """What factoring did; what is not said here, `StagesReport` says.

    Attributes:
        factored: the model with chains.
        layers: those that became chains.
        refusals: why other layers could not, by their label.

    """

    factored: State
    layers: tuple[FactoredLayer, ...]
    refusals: Mapping[str, str]

    @property
    def after(self) -> State:
        """The last stage."""
        return self.recovered or self.factored
