"""Weights as matrices: a row an output channel, a column an input that it multiplies, group by group.

A Conv's row is a filter, its columns the taps of its window, channel by channel (im2col); so all that is linear in
the weight is said once for Conv, ConvTranspose, Gemm and MatMul (ONNX operator spec).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.tensors import Array

Float64 = npt.NDArray[np.float64]
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def weight_of(node: ir.Node) -> Array | None:
    """Return the constant weight of a Conv, ConvTranspose, Gemm or MatMul; None where it has no rows."""
    weight = constant(node.inputs[1]) if is_op(node, *LAYERS) else None
    if weight is None:
        return None
    if is_op(node, "Gemm", "MatMul"):
        return weight if weight.ndim == 2 else None
    groups = node.attributes.get_int("group", 1)
    return weight if weight.ndim > 2 and groups > 0 and weight.shape[0] % groups == 0 else None


def to_rows(node: ir.Node, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a weight, or anything of its shape, as [groups, channels out / group, columns]."""
    if is_op(node, "Gemm", "MatMul"):
        return (weight if _is_transposed(node) else weight.T)[None]
    groups = node.attributes.get_int("group", 1)
    if is_op(node, "Conv"):
        return weight.reshape(groups, weight.shape[0] // groups, -1)
    taps = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    return taps.transpose(0, 2, 1, 3).reshape(groups, weight.shape[1], -1)


def from_rows(node: ir.Node, rows: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return what `to_rows` made of a weight of that shape as it was."""
    if is_op(node, "Gemm", "MatMul"):
        return rows.squeeze(0) if _is_transposed(node) else rows.squeeze(0).T
    if is_op(node, "Conv"):
        return rows.reshape(shape)
    groups = rows.shape[0]
    taps = rows.reshape(groups, shape[1], shape[0] // groups, -1)
    return np.asarray(taps.transpose(0, 2, 1, 3).reshape(shape))


def by_rows(node: ir.Node, parameter: npt.NDArray[Any], axis: int | None, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a parameter of a weight of that shape, one number or one a channel, as [groups, channels out / group].

    Raises:
        ValueError: the channels of the parameter are not the outputs of the layer.

    """
    if axis is not None:
        parameter = parameter.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    rows = to_rows(node, np.broadcast_to(parameter, shape))
    first = rows[..., 0]
    if axis is not None and parameter.size > 1 and (rows != first[..., None]).any():
        raise ValueError(f"axis {axis} of the weight of {node.op_type} is not that of its outputs")
    return first


def grid_of(node: ir.Node, affine: Affine, shape: tuple[int, ...]) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Return the scale and the zero point of each row of a weight of that shape: [groups, channels out / group]."""
    scale = by_rows(node, affine.scale.astype(np.float64), affine.axis, shape)
    return scale, by_rows(node, affine.zero_point.astype(np.int64), affine.axis, shape)


def _is_transposed(node: ir.Node) -> bool:
    return is_op(node, "Gemm") and bool(node.attributes.get_int("transB", 0))
