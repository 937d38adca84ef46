"""The scale of each row of a weight that costs a layer's outputs least, rather than the one that holds the largest.

A smaller scale clips the few largest weights and rounds all others finer. Which is better is measured with the Gram
matrix of the layer's inputs, for a grid of scales, as Nagel et al. 2021 ("A White Paper on Neural Network
Quantization", section 3.1) do with the output's mean square error.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.quantization.affine import Affine
from graphopt.quantization.rounding import quadratic_error
from graphopt.quantization.rows import Float64, by_rows, grid_of, to_rows
from graphopt.tensors import Array

FACTORS = tuple(1 - step / 32 for step in range(17))
"""Of the given scale, from all of it to half."""


def search_scales(node: ir.Node, weight: Array, affine: Affine, gram: Float64) -> Affine:
    """Return `affine` with the scale of each output channel, or of the tensor, that is best with rounding to nearest.

    Args:
        node: a Conv, ConvTranspose, Gemm or MatMul.
        weight: its weight, real numbers.
        affine: whose scales hold the largest weights; its zero points stay.
        gram: [groups, columns, columns], second moments of what multiplies the weight, or their diagonal.

    """
    rows = to_rows(node, weight.astype(np.float64))
    scale, zero = grid_of(node, affine, weight.shape)
    least, greatest = (end - zero for end in affine.limits)
    channel = by_rows(node, np.arange(affine.scale.size), affine.axis, weight.shape)
    errors = np.empty((len(FACTORS), affine.scale.size))
    for index, factor in enumerate(FACTORS):
        cost = _error(rows, scale * factor, least, greatest, gram)
        errors[index] = np.bincount(channel.ravel(), cost.ravel(), minlength=affine.scale.size)
    factors = np.array(FACTORS)[errors.argmin(axis=0)].reshape(affine.scale.shape)
    return Affine((affine.scale * factors).astype(np.float32), affine.zero_point, affine.axis)


def _error(
    rows: Float64, scale: Float64, least: npt.NDArray[np.int64], greatest: npt.NDArray[np.int64], gram: Float64
) -> Float64:
    steps = np.clip(np.rint(rows / scale[..., None]), least[..., None], greatest[..., None])
    return quadratic_error(rows - steps * scale[..., None], gram)
