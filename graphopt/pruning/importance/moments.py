"""Second moments of what a layer multiplies, as far as few samples can be trusted.

A channel that a few samples leave at rest may be needed for others. So each column's mean square gains a share of the
mean over all columns, the larger the fewer columns were seen for each that there is: `DAMPING` and K / count, which is
1 at most. Where little was seen, the weights decide. (On the late layers of EfficientNet-Lite0, with moments of 50
pictures and a seventh of the channels gone, that halves the error on other pictures; a share of a column's own mean
square does nothing.)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Gram
from graphopt.errors import CalibrationError
from graphopt.ir.walk import is_op, label
from graphopt.quantization.rows import Float64

DAMPING = 0.01
"""The least share that is gained, where nothing else is said."""


def damped_moments(node: ir.Node, gram: Gram, damping: float | None = None) -> Float64:
    """Return E[x xᵀ] [G, K, K], or its diagonals [G, K], about the mean where a bias of the layer takes that up.

    Args:
        node: the layer.
        gram: of what it multiplies.
        damping: the share of the mean of the diagonal that each element of it gains; None is as said above.

    Raises:
        CalibrationError: the Gram matrix holds a NaN, or saw nothing.

    """
    if not gram.count:
        raise CalibrationError(f"the Gram matrix of node {label(node)} saw no samples; give one at least")
    moment, mean = gram.moment, gram.mean
    if not (np.isfinite(moment).all() and np.isfinite(mean).all()):
        raise CalibrationError(f"the Gram matrix of node {label(node)} has a NaN or an infinity; leave the sample out")
    size = mean.shape[1]
    if is_op(node, "MatMul"):
        mean = np.zeros_like(mean)
    squares = moment if gram.is_diagonal else np.diagonal(moment, axis1=1, axis2=2)
    variances = np.clip(squares - np.square(mean), 0, None)
    share = DAMPING + min(size / gram.count, 1.0) if damping is None else damping
    means = variances.mean(axis=1, keepdims=True)
    gain = share * np.where(means > 0, means, 1.0)
    if gram.is_diagonal:
        return np.asarray(variances + gain)
    return np.asarray(moment - mean[:, :, None] * mean[:, None, :] + gain[:, :, None] * np.eye(size))
