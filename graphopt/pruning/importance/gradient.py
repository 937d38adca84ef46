"""Channels by how the answers depend on their weights: the first term of Taylor's series, without labels.

Taking a channel out moves all its weights to zero, which changes an objective by Σ w·∂L/∂w at first order; the mean of
the squares over batches is the measure (P. Molchanov et al.: Importance estimation for neural network pruning, 2019).
The loss against the model's own answers would have no gradient. The objective is how sure the model is of its best
class, as in a Fisher information (L. Theis et al.: Faster gaze prediction, 2018), with that class in place of a label.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from graphopt.coupling.groups import Coupling
from graphopt.distillation.gradients import Gradients, each_gradient
from graphopt.pruning.importance.evidence import Evidence
from graphopt.pruning.importance.magnitude import sums_by_channel
from graphopt.quantization.rows import Float64


def first_order(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return the mean of (Σ w·∂L/∂w)² over the batches of the samples, by channel.

    Raises:
        TargetError: PyTorch is missing.
        ModelError: an operator has no gradient, or no output holds real numbers.
        CalibrationError: there are no samples.

    """
    samples = evidence.require_samples("first-order")
    found = {group.name: np.zeros(len(group.channels)) for group in coupling.groups}
    for _, gradients in each_gradient(model, samples, threads=evidence.threads or 1):
        for group in coupling.groups:
            sums, _ = sums_by_channel(model, group, partial(_change, gradients))
            found[group.name] += np.square(sums)
    return found


def _change(gradients: Gradients, name: str, weight: Float64) -> Float64:
    return np.asarray(weight * gradients.get(name, np.float32(0)))
