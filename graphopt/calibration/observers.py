"""What is kept of a value while samples go by."""

from __future__ import annotations

import numpy as np

from graphopt.calibration.extremes import Extremes
from graphopt.calibration.gram import Gram
from graphopt.calibration.histogram import Histogram
from graphopt.calibration.operands import Operand
from graphopt.calibration.products import Multiply
from graphopt.calibration.window import Float32
from graphopt.tensors import Array

_TOGETHER = 256
"""Columns that are multiplied at once where they are few in a sample: adding up K × K products costs as much as 100."""


class ValueObserver:
    """Keeps the histogram of a value and the extremes of its channels."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.extremes: Extremes | None = None

    def add(self, values: Array) -> None:
        """Take in what one batch gave, finite numbers."""
        if not values.size:
            return
        self.histogram.add(values)
        extremes = Extremes.of(values)
        self.extremes = extremes if self.extremes is None else self.extremes.merge(extremes)


class GramObserver:
    """Keeps the products of what a layer multiplies its weight with."""

    def __init__(self, operand: Operand, multiply: Multiply) -> None:
        self.operand = operand
        self._multiply = multiply
        self._gram: Gram | None = None
        self._pending: list[Float32] = []

    def add(self, values: Array) -> None:
        """Take in what one batch gave."""
        for block in self.operand.columns(values.astype(np.float32, copy=False)):
            self._pending.append(block)
            if sum(one.shape[2] for one in self._pending) >= _TOGETHER:
                self._flush()

    def result(self) -> Gram | None:
        """Return the products of all columns, None where there are none."""
        self._flush()
        return self._gram

    def _flush(self) -> None:
        if not self._pending:
            return
        columns = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending, axis=2)
        self._pending = []
        self._gram = self._gram or Gram(*columns.shape[:2])
        self._gram.add(columns, self._multiply)
