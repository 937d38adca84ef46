"""Where integer arithmetic leaves its range: proofs from the integer weights and the range of the activations.

Processors without VNNI multiply uint8 by int8 with VPMADDUBSW, which adds two neighbouring products and saturates the
sum to int16 (Intel Intrinsics Guide, _mm256_maddubs_epi16): 255·127·2 is twice what fits. Two terms of which one is
small fit, and so do all where weights have seven bits. Sums of all terms are int32, and wrap around beyond it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine, Reals
from graphopt.quantization.rows import from_rows, to_rows
from graphopt.tensors import Array

Steps = npt.NDArray[np.int64]

SAFE_STEP = 64
"""No two weights of at most this magnitude saturate: 255·64·2 = 32,640 is less than 2¹⁵ - 1."""

_GROWTH = np.float32(1.02)  # of a scale from try to try; 34 of them take away a bit

INT16, INT32 = np.iinfo(np.int16), np.iinfo(np.int32)


class Interval(NamedTuple):
    """The least and the greatest of numbers; both ends belong to it."""

    least: int
    greatest: int


UINT8 = Interval(0, 255)


class Sums(NamedTuple):
    """The least and the greatest sum that each channel may have, int64 [channels out], in the order of the rows."""

    least: Steps
    greatest: Steps

    def leave(self, limits: np.iinfo[np.int16] | np.iinfo[np.int32]) -> npt.NDArray[np.bool_]:
        """Return which channels may leave a type."""
        return np.asarray((self.least < limits.min) | (self.greatest > limits.max))


def reduction(node: ir.Node, weight: Array, block: int = 1) -> Steps:
    """Return a layer's weight as [groups, channels out / group, terms], in the order in which a kernel sums them up.

    Kernels go through the taps of a window, and at each through its channels.

    Args:
        node: a Conv, ConvTranspose, Gemm or MatMul.
        weight: its integers.
        block: of how many channels a kernel's unit is; the last one of a tap is filled up with zeros. 1 lets the
            channels of one tap follow on those of another, as onnxruntime's im2col does; 4 is a VNNI kernel's.

    """
    rows = to_rows(node, weight.astype(np.int64))
    channels = rows.shape[2]
    if is_op(node, "Conv", "ConvTranspose"):
        channels = weight.shape[1] if is_op(node, "Conv") else weight.shape[0] // rows.shape[0]
    taps = rows.reshape(*rows.shape[:2], channels, -1).swapaxes(2, 3)
    filled = np.pad(taps, [(0, 0)] * 3 + [(0, -channels % block)])
    return filled.reshape(*rows.shape[:2], -1)


def pair_sums(terms: Steps, activations: Interval = UINT8) -> Sums:
    """Return the least and the greatest sum of two neighbouring products in each channel.

    Args:
        terms: the integer weights, [groups, channels out / group, terms]; the first and second are summed, the third
            and fourth, and so on.
        activations: the integers that the layer's input takes.

    """
    wide = np.pad(terms, [(0, 0), (0, 0), (0, terms.shape[2] % 2)])
    least, greatest = products(wide, activations)
    pairs = (*wide.shape[:2], -1, 2)
    return Sums(least.reshape(pairs).sum(-1).min(-1).ravel(), greatest.reshape(pairs).sum(-1).max(-1).ravel())


def saturating(node: ir.Node, weight: Array, activations: Interval = UINT8, block: int = 1) -> npt.NDArray[np.bool_]:
    """Return in which of a layer's channels out two neighbouring products may leave int16: [channels out].

    Depthwise kernels widen their factors and multiply one channel by itself: there is nothing to ask of those.
    """
    return pair_sums(reduction(node, weight, block), activations).leave(INT16)


def accumulator_sums(
    terms: Steps,
    activations: Interval = UINT8,
    zero_point: int = 0,
    weight_zero_point: npt.ArrayLike = 0,
    bias: npt.ArrayLike = 0,
) -> Sums:
    """Return the least and the greatest Σ (x - zero_point)·(w - weight_zero_point) + bias of each channel.

    A border adds zero, so that parts of the sum count as well, and its ends are at most and at least the bias.

    Args:
        terms: the integer weights, [groups, channels out / group, terms].
        activations: the integers x that the layer's input takes.
        zero_point: of the input.
        weight_zero_point: one, or one a channel out.
        bias: in steps of the sum, one or one a channel out.

    """
    channels = terms.shape[0] * terms.shape[1]
    zero = np.broadcast_to(weight_zero_point, channels).reshape(*terms.shape[:2], 1)
    centred = Interval(activations.least - zero_point, activations.greatest - zero_point)
    least, greatest = products(terms - zero, centred)
    added = np.broadcast_to(bias, channels).astype(np.int64)
    return Sums(np.minimum(least, 0).sum(-1).ravel() + added, np.maximum(greatest, 0).sum(-1).ravel() + added)


def fit_pairs(node: ir.Node, weight: Reals, affine: Affine, activations: Interval = UINT8, block: int = 1) -> Affine:
    """Return `affine` with the scale of each channel that saturates widened until it does not, rounded to nearest.

    At most it becomes that of weights of seven bits, which fit whatever their neighbours are. Other channels stay.

    Args:
        node: a Conv, Gemm or MatMul.
        weight: its weight, real numbers.
        affine: symmetric int8, of the tensor or of the output channels.
        activations: the integers that the layer's input takes.
        block: see `reduction`.

    """
    others = None if affine.axis is None else tuple(axis for axis in range(weight.ndim) if axis != affine.axis)
    widest = np.maximum(affine.scale, np.abs(weight).max(axis=others) / np.float32(SAFE_STEP))
    while (risky := saturating(node, affine.quantize(weight), activations, block)).any():
        chosen = risky if affine.axis is not None else np.asarray(risky.any())
        scale = np.where(chosen, np.minimum(affine.scale * _GROWTH, widest), affine.scale).astype(np.float32)
        affine = Affine(scale, affine.zero_point, affine.axis)
    return affine


def round_where_safe(
    node: ir.Node, integers: Array, weight: Reals, affine: Affine, activations: Interval = UINT8, block: int = 1
) -> Array:
    """Return integers that were rounded otherwise, but to the nearest in channels where two neighbours may saturate.

    With an `affine` from `fit_pairs` no channel does then.
    """
    risky = saturating(node, integers, activations, block).reshape(to_rows(node, integers).shape[:2])
    rows = np.where(risky[..., None], to_rows(node, affine.quantize(weight)), to_rows(node, integers))
    return from_rows(node, rows, integers.shape).astype(affine.dtype)


def products(weight: Steps, activations: Interval) -> tuple[Steps, Steps]:
    """Return the least and the greatest product of each weight with an activation."""
    low, high = weight * activations.least, weight * activations.greatest
    return np.minimum(low, high), np.maximum(low, high)
