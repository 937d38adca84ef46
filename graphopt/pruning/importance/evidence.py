"""What a criterion may look at beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphopt.calibration.operands import operand_of
from graphopt.calibration.source import Samples
from graphopt.calibration.statistics import Statistics
from graphopt.coupling.groups import Coupling
from graphopt.errors import CalibrationError, ModelError


@dataclass(frozen=True)
class Evidence:
    """What is known of a model's data, and what else a criterion depends on.

    Attributes:
        statistics: with the Gram matrices of `measured`, where the criterion is `obs`.
        samples: feeds without labels, for the criteria that run the model.
        seed: of what is random.
        threshold: the magnitude above which a weight counts.
        threads: of onnxruntime; 0 means as many as this process may run on.

    """

    statistics: Statistics = field(default_factory=Statistics)
    samples: Samples | None = None
    seed: int = 0
    threshold: float = 0.01
    threads: int = 0

    def require_samples(self, criterion: str) -> Samples:
        """Return the samples; raises CalibrationError where there are none."""
        if self.samples is None:
            raise CalibrationError(f"criterion {criterion!r} runs the model: give data to run it on")
        return self.samples


def measured(coupling: Coupling) -> list[str]:
    """Return the first outputs of the consumers that Gram matrices can be collected for, in the order of the groups."""
    names: dict[str, None] = {}
    for node in (node for group in coupling.groups for node in group.consumers):
        try:
            operand_of(node)
        except ModelError:
            continue
        names[str(node.outputs[0].name)] = None
    return list(names)
