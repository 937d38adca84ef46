"""What factoring did to a model: before, after layers became chains, after these were fitted to what there was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from graphopt.pruning.report import State


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


@dataclass(frozen=True)
class FactorizationReport:
    """What was asked for, done and found.

    Attributes:
        request: the budget, as text.
        recovery: how the chains were fitted.
        pipeline: that the model went through before, as text.
        samples: how many the data have; 0 without.
        held_out: how many of these nothing was fitted to: answers are compared on them.
        before, factored, recovered: the model at each stage; the last is None where nothing was fitted.
        layers: those that became chains.
        refusals: why other layers could not, by their label.
        seconds: by step.

    """

    request: str
    recovery: str
    pipeline: str
    samples: int
    held_out: int
    before: State
    factored: State
    recovered: State | None
    layers: tuple[FactoredLayer, ...]
    refusals: Mapping[str, str]
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def after(self) -> State:
        """The last stage."""
        return self.recovered or self.factored

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
