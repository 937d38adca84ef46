"""Statistics of a BatchNormalization that fit what it normalizes now.

A changed network gives a normalization other means and variances than it was trained on. It is given those for which
each channel leaves it with the mean and the variance that it had in the original, on the same samples (as re-estimation
in H. Li et al.: Pruning filters for efficient ConvNets, 2017, and K. Jordan et al.: REPAIR, 2022; the statistics that
training left are moved, not replaced, since samples are few).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from graphopt.calibration.operands import Operand
from graphopt.calibration.window import Float32
from graphopt.ir.constants import constant, is_constant
from graphopt.ir.walk import is_op
from graphopt.pruning.recovery.equations import Equations
from graphopt.pruning.recovery.least_squares import Fit
from graphopt.pruning.recovery.parameters import write_input
from graphopt.quantization.rows import Float64

_MEAN, _VARIANCE = 3, 4
_LEAST = 1e-6  # of the mean square: a variance below is that of a constant, and rounding


def is_normalization(node: ir.Node) -> bool:
    """Whether a node normalizes with statistics that are constant (ONNX operator spec, BatchNormalization-15)."""
    if not is_op(node, "BatchNormalization") or node.attributes.get_int("training_mode", 0) != 0:
        return False
    return len(node.outputs) == 1 and all(map(is_constant, node.inputs[1:]))


def normalized_by(node: ir.Node) -> Operand:
    """Return what a normalization reads, a group of one column a channel."""
    value = node.inputs[0]
    return Operand(str(value.name if value is not None else ""), _channels)


def identity(equations: Equations) -> Fit:
    """Return the factor 1 and the shift 0 of each channel."""
    return Fit(np.ones((*equations.x.shape, 1)), np.zeros_like(equations.x))


def moved(equations: Equations) -> Fit:
    """Return by channel the factor [C, 1, 1] and the shift [C, 1] that give x the mean and the variance of y."""
    count = max(equations.count, 1)
    mean, wanted = equations.x / count, equations.y / count
    spread = _variance(equations.xx, mean, count)
    factor = np.sqrt(
        np.divide(_variance(equations.yy, wanted, count), spread, out=np.ones_like(spread), where=spread > 0)
    )
    factor = np.where(factor > 0, factor, 1.0)
    return Fit(factor[:, :, None], wanted - factor * mean)


def set_statistics(model: ir.Model, node: ir.Node, found: Fit) -> None:
    """Write the mean and the variance that make of x what the old ones make of factor·x + shift.

    (factor·x + shift - m)/√(v + ε) = (x - (m - shift)/factor)/√((v + ε)/factor²).
    """
    mean, variance = (constant(node.inputs[index]) for index in (_MEAN, _VARIANCE))
    if mean is None or variance is None:
        raise ValueError("its statistics are no constants")
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    whole = variance.astype(np.float64) + epsilon
    factor = np.minimum(found.weight.reshape(-1), np.sqrt(whole / epsilon))  # a variance is not below zero
    write_input(model, node, _MEAN, ((mean.astype(np.float64) - found.bias.reshape(-1)) / factor).astype(mean.dtype))
    write_input(model, node, _VARIANCE, (whole / factor**2 - epsilon).clip(0).astype(variance.dtype))


def _channels(values: Float32) -> Iterator[Float32]:
    for sample in values:
        yield sample.reshape(len(sample), 1, -1)


def _variance(squares: Float64 | None, mean: Float64, count: int) -> Float64:
    square = (np.zeros_like(mean) if squares is None else squares.reshape(mean.shape)) / count
    found = square - np.square(mean)
    return np.asarray(np.where(found > _LEAST * square, found, 0.0))
