"""Which sums of products are computed in integers, and of what: (q - z) · (w - zw) summed, of 8 bits each.

Source: B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018; ONNX operator spec, QLinearConv-10, QLinearMatMul-21.

    Σ (q - z) · w = Σ q · w - z · Σ w

where w are the weights less their zero points. The second sum is a constant of each output channel, and goes into the
bias; where a window leaves the input, it finds z there. Products of q and w of 8 bits are those that processors sum up.
Weights that are wider, since their zero point is no middle of theirs, are sums of some of 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.backends.tvm.lower.affine import BYTES, Affine
from graphopt.backends.tvm.lower.known import IntegerConstant, integer_constant
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.tensors import Array

_SUMS = np.iinfo(np.int32)
_ROUNDINGS = 1e-6
"""By which the scale of a bias may be off the product of scales that it stands for, which float32 rounds."""


@dataclass(frozen=True)
class IntegerProducts:
    """Factors of 8 bits.

    Attributes:
        data: what is held in the dtype that the target multiplies with int8.
        zero_point: the integer that stands for 0 there.
        weights: less their zero points, int32, as the node has them.
        scale: of the sums, float32, [] or one an output channel.

    """

    data: Lowered
    zero_point: int
    weights: Array
    scale: Array

    def bias(self, value: ir.Value | None) -> Array | None:
        """Return a bias, one number an output channel, where it is known in integers of the scale of the sums."""
        if value is None:
            return np.zeros((), np.int32)
        constant = integer_constant(value)
        if constant is None or constant.zero_point.any():
            return None
        fits = np.allclose(constant.scale, self.scale, rtol=_ROUNDINGS, atol=0)
        return constant.numbers.astype(np.int32) if fits else None

    def sums(self, axis: int) -> Affine:
        """Return what sums of products stand for, whose channels lie along an axis."""
        return Affine(self.scale, axis=axis)


def integer_products(lowering: Lowering, node: ir.Node, axis: int) -> IntegerProducts | None:
    """Return the factors of a Conv, Gemm or MatMul that is computed in integers, None for another.

    `axis` is that of the output channels in the weights, which may have a scale and a zero point each.
    """
    held, weights = lowering.held(node.inputs[0]), integer_constant(node.inputs[1])
    if held is None or held.affine is None or not held.affine.is_plain or held.dtype not in BYTES or weights is None:
        return None
    data = lowering.as_bytes(held)
    scale = _channel_scale(weights, axis)
    if data.affine is None or scale is None or _may_overflow(weights, axis):
        return None
    return IntegerProducts(data, data.affine.zero_point, weights.centred, np.multiply(data.affine.scale, scale))


def in_bytes(weights: Array) -> Iterator[Array]:
    """Yield int8 arrays whose sum is an array of int32; one, unless it is wider."""
    rest = weights
    while True:
        part = np.clip(rest, -128, 127)
        yield part.astype(np.int8)
        rest = np.subtract(rest, part)
        if not rest.any():
            return


def _channel_scale(weights: IntegerConstant, axis: int) -> Array | None:
    """Return the scale as [] or one an output channel, None where it lies along another axis."""
    scale = weights.scale
    if weights.numbers.dtype.itemsize > 1 or scale.dtype != np.float32:
        return None
    if scale.ndim == 0:
        return scale
    return scale.reshape(-1) if scale.shape[axis] == scale.size else None


def _may_overflow(weights: IntegerConstant, axis: int) -> bool:
    """Whether a sum of the largest products may leave int32."""
    others = tuple(index for index in range(weights.numbers.ndim) if index != axis)
    return bool((abs(weights.centred.astype(np.int64)).sum(others) * 255 > _SUMS.max).any())
