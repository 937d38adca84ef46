"""What a user asks for: how many weights shall become zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from graphopt.errors import PipelineError
from graphopt.sparsity.counts import below_threshold, in_each
from graphopt.sparsity.pattern import Pattern, parse_pattern
from graphopt.tensors import Array


@dataclass(frozen=True)
class Request:
    """One of three is said.

    Attributes:
        fraction: of all weights.
        threshold: the largest absolute value that goes.
        pattern: how many of a group go.

    """

    fraction: float | None = None
    threshold: float | None = None
    pattern: Pattern | None = None

    def __str__(self) -> str:
        return next(f"{name}={value}" for name, value in vars(self).items() if value is not None)

    def counts(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        """Return how many weights of each layer go where no data say more; a pattern says itself, for all of them."""
        if self.threshold is not None:
            return below_threshold(arrays, self.threshold)
        return in_each(arrays, 1.0 if self.fraction is None else self.fraction)


def request(fraction: float | None, pattern: str | None, threshold: float | None) -> Request:
    """Read what was said; raises PipelineError where it is none of three, several, or out of range."""
    if sum(each is not None for each in (fraction, pattern, threshold)) != 1:
        raise PipelineError("say how sparse the model shall be, by one of fraction=0.5, pattern=2:4 and threshold=0.01")
    if fraction is not None and not 0 < fraction < 1:
        raise PipelineError(f"fraction={fraction} must be above 0 and below 1")
    if threshold is not None and not 0 <= threshold < math.inf:
        raise PipelineError(f"threshold={threshold} must be a number from 0 on")
    return Request(fraction, threshold, None if pattern is None else parse_pattern(pattern))
