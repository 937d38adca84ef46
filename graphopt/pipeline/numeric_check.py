"""`check=numeric`: the model must give, after each pass, the answers it gave before the first."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.errors import CalibrationError, RunError
from graphopt.inspect.statistics import tensor_spec
from graphopt.numerics import DEFAULT_TOLERANCE, Difference, differences
from graphopt.runtime.feeds import check as fit
from graphopt.tensors import Feeds


class NumericCheck:
    """Compares a model under rewriting with the original, executed with every optimization off.

    Args:
        feeds: inputs to compare on; seeded random ones are made where it is None.
        seed: of the random inputs.
        tolerance: of the worst output, relative to that output's scale (`graphopt.numerics`).

    """

    def __init__(self, feeds: Feeds | None = None, *, seed: int = 0, tolerance: float = DEFAULT_TOLERANCE) -> None:
        self._feeds = feeds
        self._seed = seed
        self._tolerance = tolerance
        self._expected: Feeds = {}

    def start(self, model: ir.Model) -> None:
        """Record the answers of the original; raises CalibrationError if it does not run on the feeds."""
        feeds = self._feeds if self._feeds is not None else random_feeds(model, seed=self._seed)
        fed = (value for value in model.graph.inputs if value.name in feeds or not value.is_initializer())
        try:
            self._feeds = fit([tensor_spec(value) for value in fed], feeds)
            self._expected = evaluate(model, self._feeds)
        except RunError as error:
            raise CalibrationError(
                f"the model does not run on the inputs to check with: {error}; give fitting input shapes or data"
            ) from error

    def worst(self, model: ir.Model) -> Difference | None:
        """Return the worst output if it is beyond the tolerance, else None."""
        found = differences(self._expected, evaluate(model, self._feeds or {}))
        return found[0] if found and found[0].error > self._tolerance else None
