"""What every compression of weights says of what it did, cost and gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphopt.inspect.fidelity import Fidelity


@dataclass(frozen=True, kw_only=True)
class CompressionReport:
    """What became of a model.

    Attributes:
        recovery: how changed weights were fitted to the answers.
        storage: how they lie in the file.
        pipeline: that the model went through before, as text.
        samples: how many there were, `held_out` of them for comparing alone; 0 without data.
        recovered: answers to the held-out samples compared with the model's, after recovery; None without one.
        bytes_before, bytes_after: of all constants.
        seconds: by step.

    """

    recovery: str
    storage: str
    pipeline: str
    samples: int
    held_out: int
    recovered: Fidelity | None
    bytes_before: int
    bytes_after: int
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
