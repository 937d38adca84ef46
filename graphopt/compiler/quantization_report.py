"""What a quantization did, cost and gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphopt.inspect.fidelity import Fidelity
from graphopt.quantization.plan import Plan


@dataclass(frozen=True)
class QuantizationReport:
    """What quantization did, cost and gained.

    Attributes:
        scheme: as text.
        method: how ranges were chosen.
        pipeline: that the model went through before, as text: the plan is for the model behind it.
        plan: the decisions.
        samples: how many were observed; 0 where only weights were quantized, to the nearest.
        integers: how many nodes compute in integers, or read weights of integers.
        floats: why each other node does not, by its label.
        fidelity: the answers compared with the model's, on `JUDGED` of the samples that were observed, drawn from all.
        spared: the labels of the nodes among those that were spared for the answers' sake, the most costly first.
        before_sparing: the answers with them in integers, where some are.
        bytes_before, bytes_after: of all constants.
        seconds: by step.

    """

    scheme: str
    method: str
    pipeline: str
    plan: Plan
    samples: int
    integers: int
    floats: Mapping[str, str]
    fidelity: Fidelity | None
    spared: tuple[str, ...]
    before_sparing: Fidelity | None
    bytes_before: int
    bytes_after: int
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without the plan."""
        plain = {name: value for name, value in vars(self).items() if name != "plan"}
        return {name: asdict(value) if isinstance(value, Fidelity) else value for name, value in plain.items()}
