"""Which channels of a group to leave out first, and what each width costs, from one sweep over its consumers.

Optimal brain surgeon on whole channels (B. Hassibi, D. Stork: Second order derivatives for network pruning, 1993;
E. Frantar, D. Alistarh: Optimal brain compression, 2022): a channel leaves with all columns that its consumers
multiply it with, and these refit their other columns to make up for it. The sum over the consumers decides, each
relative to what it computes: the channels of a residual stream have many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Gram
from graphopt.coupling.groups import Group, IntArray
from graphopt.errors import CalibrationError
from graphopt.ir.walk import label
from graphopt.pruning.importance.magnitude import squared_weights
from graphopt.pruning.importance.moments import damped_moments
from graphopt.pruning.importance.shares import Share, shares
from graphopt.pruning.importance.sweep import DenseProblem, DiagonalProblem, Problem, sweep
from graphopt.quantization.rows import Float64


@dataclass(frozen=True)
class Elimination:
    """What it costs a group of channels to become narrower.

    Attributes:
        order: the numbers of the channels, the first to leave first, [channels].
        error: the mean square that is added at the consumers' outputs when the first n have left, the consumers being
            refitted, [channels + 1]. Each consumer's is relative to the variance of what it computes, and they are
            summed, so that the errors of groups compare.

    """

    order: IntArray
    error: Float64


def eliminate(model: ir.Model, group: Group, grams: Mapping[str, Gram], *, damping: float | None = None) -> Elimination:
    """Leave out one channel of a group after the other, each the one that its consumers miss least.

    A consumer without a Gram matrix counts as if its inputs were all alike and independent, one whose Gram matrix is
    diagonal as if they were independent. Where there is no consumer with a weight, the weights of the producers count.

    Args:
        model: with the group.
        group: of its channels.
        grams: second moments by the first output of the consumers.
        damping: as for `damped_moments`.

    Raises:
        CalibrationError: a Gram matrix holds a NaN, saw nothing, is of another model, or is singular without damping.
        ModelError: a weight is not finite.

    """
    problems: list[Problem] = []
    scales: list[float] = []
    for node in group.consumers:
        gram = grams.get(str(node.outputs[0].name))
        moments = None if gram is None else damped_moments(node, gram, damping)
        for share in shares(node, group):
            moment = np.ones(share.weight.shape[1]) if moments is None else _of_share(node, share, moments)
            energy = _energy(share.weight, moment)
            if energy > 0:
                problems.append(_problem(node, share, moment, len(group.channels)))
                scales.append(1 / energy)
    if not problems:
        costs = squared_weights(model, group)
        order = np.argsort(costs, kind="stable")
        total = costs.sum() or 1.0
        return Elimination(order, np.concatenate([[0.0], np.cumsum(costs[order]) / total]))
    return Elimination(*sweep(problems, scales, len(group.channels)))


def _of_share(node: ir.Node, share: Share, moments: Float64) -> Float64:
    if len(moments) <= share.index or moments.shape[1] != share.weight.shape[1]:
        raise CalibrationError(f"the Gram matrix of node {label(node)} is of another model; collect it from this one")
    return np.asarray(moments[share.index])


def _energy(weight: Float64, moment: Float64) -> float:
    weighted = weight * moment if moment.ndim == 1 else weight @ moment
    return float((weighted * weight).sum())


def _problem(node: ir.Node, share: Share, moment: Float64, channels: int) -> Problem:
    if moment.ndim == 1:
        return DiagonalProblem(share.weight, moment, channels, share.members, share.columns)
    try:
        return DenseProblem(share.weight, moment, channels, share.members, share.columns)
    except np.linalg.LinAlgError:
        raise CalibrationError(
            f"the Gram matrix of node {label(node)} is singular; give more samples than columns, or a damping"
        ) from None
