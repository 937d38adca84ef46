"""What the layers of a step read in a changed model, and what the original made: their normal equations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphopt.coupling.groups import IntArray
from graphopt.pruning.recovery.equations import Equations, Multiply
from graphopt.pruning.recovery.layers import Layer
from graphopt.pruning.recovery.walk import Walk
from graphopt.tensors import Feeds

FOLDS = 3
"""Parts that the samples are dealt to, batch by batch; each is held out once to choose a ridge."""

PLACES = 256
"""Columns of an image that are taken at most, by chance: those beside each other are much alike."""


def observe(step: Sequence[Layer], teacher: Walk, student: Walk, multiply: Multiply) -> dict[Layer, list[Equations]]:
    """Return the equations of the layers of a step, those of each part of the samples.

    Raises:
        CalibrationError: a model does not run on a batch, or a value is not finite.

    """
    observers = [_Observer(layer, multiply) for layer in step]
    for number, (made, given) in enumerate(zip(teacher.advance(), student.advance(), strict=True)):
        for observer in observers:
            observer.add(made, given, number % FOLDS)
    return {observer.layer: list(observer.parts.values()) for observer in observers}


class _Observer:
    """Adds up the equations of one layer."""

    def __init__(self, layer: Layer, multiply: Multiply) -> None:
        self.layer = layer
        self.parts: dict[int, Equations] = {}
        self._multiply = multiply
        self._rng = np.random.default_rng(0)

    def add(self, made: Feeds, given: Feeds, part: int) -> None:
        """Take in the values of the original, and of the changed model, in one batch."""
        beside = None if self.layer.beside is None else given[self.layer.beside]
        targets = self.layer.targets(made[self.layer.target], beside)
        start = 0
        for columns in self.layer.operand.columns(given[self.layer.operand.value].astype(np.float32, copy=False)):
            stop = start + columns.shape[2]
            if part not in self.parts:
                self.parts[part] = Equations(len(columns), columns.shape[1], targets.shape[1])
            some = self._some(stop - start)
            own = np.ascontiguousarray(targets[:, :, start:stop][:, :, some])
            self.parts[part].add(np.ascontiguousarray(columns[:, :, some]), own, self._multiply)
            start = stop

    def _some(self, count: int) -> IntArray | slice:
        if count <= PLACES:
            return slice(None)
        return np.sort(self._rng.choice(count, PLACES, replace=False))
