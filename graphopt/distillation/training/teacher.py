"""The answers to learn: those of a model that onnxruntime runs, whatever its operators are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from graphopt.backends.ort.reference import reference_session
from graphopt.distillation.training.dataset import TOGETHER, Dataset
from graphopt.ir.extract import extract


class Teacher:
    """Answers with values of a model, outputs or others."""

    def __init__(self, model: ir.Model, values: Sequence[str], threads: int) -> None:
        """Cut out what computes the values; raises ModelError where one is unknown."""
        self._session = reference_session(extract(model, outputs=sorted(set(values))), threads=threads, optimize=True)

    def answer(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the values by name; raises RunError where the model does not run on these feeds."""
        needed = {spec.name: np.ascontiguousarray(feeds[spec.name].numpy()) for spec in self._session.inputs}
        return {name: torch.from_numpy(np.array(array)) for name, array in self._session.run(needed).items()}

    def answers(self, dataset: Dataset) -> dict[str, Tensor]:
        """Return the values of all samples as they are."""
        found = [self.answer(part.feeds) for part in dataset.batches(TOGETHER)]
        return {name: torch.cat([values[name] for values in found]) for name in found[0]}
