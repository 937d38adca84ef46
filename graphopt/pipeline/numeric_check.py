"""`check=numeric`: the model must give, after each pass, the answers it gave before the first."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import evaluate, random_feeds, reference_session
from graphopt.errors import CalibrationError, RunError
from graphopt.inspect.statistics import tensor_spec
from graphopt.ir.interface import check_interface
from graphopt.numerics import DEFAULT_TOLERANCE, Difference, differences, one_unit_away
from graphopt.pipeline.check import Check
from graphopt.runtime.feeds import check as fit
from graphopt.tensors import Feeds

NOISE_FACTOR = 8
"""Every layer rounds anew, the measurement of the noise moves the input alone."""


class NumericCheck(Check):
    """Compares a model under rewriting with the original, executed with every optimization off.

    A network can be worse conditioned than the tolerance: where one unit in the last place of its inputs
    moves an output by more, so may a rewrite that rounds differently. That noise is measured on the original,
    and `NOISE_FACTOR` times as much is allowed where it exceeds the tolerance.

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
        self._allowed: dict[str, float] = {}

    def start(self, model: ir.Model) -> None:
        """Record the answers of the original.

        Raises:
            ModelError: it takes or returns something else than tensors.
            CalibrationError: it does not run on the feeds.

        """
        check_interface(model)
        feeds = self._feeds if self._feeds is not None else random_feeds(model, seed=self._seed)
        fed = (value for value in model.graph.inputs if value.name in feeds or not value.is_initializer())
        try:
            self._feeds = fit([tensor_spec(value) for value in fed], feeds)
            session = reference_session(model)
            self._expected = session.run(self._feeds)
            moved = session.run(one_unit_away(self._feeds, self._seed))
        except RunError as error:
            raise CalibrationError(
                f"the model does not run on the inputs to check with: {error}; give fitting input shapes or data"
            ) from error
        for noise in differences(self._expected, moved):
            finite = noise.error if np.isfinite(noise.error) else 0.0
            self._allowed[noise.output] = max(self._tolerance, NOISE_FACTOR * finite)

    def worst(self, model: ir.Model) -> Difference | None:
        """Return the worst output that differs by more than is allowed, or None."""
        found = differences(self._expected, evaluate(model, self._feeds or {}))
        return next((one for one in found if one.error > self._allowed.get(one.output, 0.0)), None)

    def allow(self, error: float) -> None:
        """Let every output lie farther from the original, now and after later passes."""
        self._allowed = {output: allowed + error for output, allowed in self._allowed.items()}

    def summary(self) -> str:
        """Say what was checked."""
        return "each pass checked"
