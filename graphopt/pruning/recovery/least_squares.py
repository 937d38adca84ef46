"""The weight that makes of changed inputs what is nearest to the targets, without going far from the weight there is.

With W₀ [R, K] the weight now, C = E[x xᵀ] and B = E[y xᵀ] about the means (the bias takes these up,
b = E[y] - W·E[x]), the least of E‖y - W x - b‖² + ridge·m·‖W - W₀‖², m the mean of the diagonal of C, is
W = W₀ + (B - W₀ C)(C + ridge·m·1)⁻¹. Samples are few: where they say little of a direction, W₀ stays, which a penalty
on W itself would take to zero, and one on columns by their own mean squares let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphopt.conjugate_gradients import conjugate_gradients
from graphopt.pruning.recovery.equations import Equations, total
from graphopt.quantization.rows import Float64

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Those that are tried; and to leave the weight as it is, and move the bias alone."""

UNJUDGED = 0.1
"""The ridge where nothing can be held out."""

_STEPS = 100


class Fit(NamedTuple):
    """A weight with its bias.

    Attributes:
        weight: [G, R, K].
        bias: [G, R], zeros where the layer has none.

    """

    weight: Float64
    bias: Float64


Support = npt.NDArray[np.bool_]


def fit(equations: Equations, start: Fit, ridge: float, *, moves_bias: bool, support: Support | None = None) -> Fit:
    """Return the least-squares solution.

    Args:
        equations: of the data.
        start: weight and bias as they are now.
        ridge: how dear it is to move away from the weight, infinity to leave it.
        moves_bias: whether the layer has a bias that may change.
        support: [G, R, K], where the weight may be other than zero; everywhere by default.

    Raises:
        LinAlgError: the equations are singular, and the ridge is 0.

    """
    weight, moments = start.weight, _moments(equations, start, moves_bias=moves_bias)
    if moments is not None and np.isfinite(ridge):
        residual = moments.cross - weight @ moments.second
        damped = _damped(moments.second, ridge)
        if support is None:
            weight = weight + np.linalg.solve(damped, residual.transpose(0, 2, 1)).transpose(0, 2, 1)
        else:
            weight = weight + conjugate_gradients(damped, residual, support, _STEPS)
    if not moves_bias:
        return Fit(weight, start.bias)
    return Fit(weight, (equations.y - (weight @ equations.x[:, :, None])[:, :, 0]) / max(equations.count, 1))


def error(equations: Equations, found: Fit) -> float:
    """Return E‖y - W x - b‖², summed over all rows; NaN where only means are known."""
    if equations.xx is None or equations.yx is None:
        return np.nan
    weight, bias, count = found.weight, found.bias, max(equations.count, 1)
    made = (weight @ equations.x[:, :, None])[:, :, 0]
    squares = equations.yy + ((weight @ equations.xx) * weight).sum(2) - 2 * (equations.yx * weight).sum(2)
    squares += 2 * bias * (made - equations.y) + np.square(bias) * count
    return float(np.clip(squares, 0, None).sum() / count)


def variance(equations: Equations) -> float:
    """Return E‖y - E[y]‖², summed over all rows."""
    count = max(equations.count, 1)
    return float(np.clip(equations.yy / count - np.square(equations.y / count), 0, None).sum())


def best_ridge(parts: Sequence[Equations], start: Fit, *, moves_bias: bool, support: Support | None = None) -> float:
    """Return the ridge whose solution on all parts but one has the least error on that one, over all parts.

    It is `UNJUDGED` where there is one part alone.
    """
    if len(parts) < 2:
        return UNJUDGED
    ridges = (*RIDGES, np.inf)
    errors = np.zeros(len(ridges))
    for held_out in parts:
        rest = total([part for part in parts if part is not held_out])
        for index, ridge in enumerate(ridges):
            errors[index] += error(held_out, fit(rest, start, ridge, moves_bias=moves_bias, support=support))
    return ridges[int(np.nanargmin(errors))] if np.isfinite(errors).any() else np.inf


class _Moments(NamedTuple):
    """E[x xᵀ] and E[y xᵀ], about the means where the bias takes these up, or else of y - b."""

    second: Float64
    cross: Float64


def _moments(equations: Equations, start: Fit, *, moves_bias: bool) -> _Moments | None:
    """Return the moments, None where only means are known."""
    if equations.xx is None or equations.yx is None:
        return None
    count = max(equations.count, 1)
    mean = equations.x / count
    shift = equations.y / count if moves_bias else start.bias
    second = equations.xx / count
    if moves_bias:
        second -= mean[:, :, None] * mean[:, None, :]
    return _Moments(second, equations.yx / count - shift[:, :, None] * mean[:, None, :])


def _damped(second: Float64, ridge: float) -> Float64:
    """Return the moments with a diagonal that is larger by a share of its mean."""
    damped, index = second.copy(), np.arange(second.shape[1])
    mean = np.clip(damped[:, index, index], 0, None).mean(axis=1, keepdims=True)
    damped[:, index, index] += ridge * np.where(mean > 0, mean, 1.0)
    return damped
