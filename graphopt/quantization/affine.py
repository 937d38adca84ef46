"""How real numbers become integers, as in QuantizeLinear and DequantizeLinear (ONNX operator spec, opset 21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from graphopt.tensors import Array

Reals = npt.NDArray[np.float32]
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
"""Below it a float32 loses digits, and processors lose time."""

_WIDE = 4  # bytes: integers that float32 does not hold exactly


@dataclass(frozen=True, eq=False)
class Affine:
    """q = clip(round_half_even(x / scale) + zero_point), x ≈ (q - zero_point)·scale; zero is always exact.

    Attributes:
        scale: float32, positive; of shape [] for a whole tensor or [C] for its channels along `axis`.
        zero_point: of the integers' dtype (uint8, int8, uint16, int16, int32, ml_dtypes.int4 or uint4), in the
            shape of `scale`.
        axis: of the channels, counted from the front; None for a whole tensor.

    """

    scale: Reals
    zero_point: Array
    axis: int | None = None

    def __post_init__(self) -> None:
        if self.scale.dtype != np.float32 or self.scale.shape != self.zero_point.shape:
            raise ValueError("scale must be float32 and of the zero point's shape")
        if self.scale.ndim != (self.axis is not None):
            raise ValueError("scale must have one element, or one a channel along an axis")
        if not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise ValueError("scale must be positive and finite")

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Return the type of the integers."""
        return self.zero_point.dtype

    @property
    def limits(self) -> tuple[int, int]:
        """Return the least and the greatest integer."""
        return limits_of(self.dtype)

    def interval(self) -> tuple[Reals, Reals]:
        """Return the least and the greatest real number that an integer stands for, in the shape of `scale`."""
        lower, upper = ((end - self.zero_point.astype(np.float32)) * self.scale for end in self.limits)
        return np.asarray(lower, np.float32), np.asarray(upper, np.float32)

    def quantize(self, x: Array) -> Array:
        """Return the integers for real numbers of any shape that has the channels on `axis`."""
        wide = np.float64 if self.dtype.itemsize >= _WIDE else np.float32
        least, greatest = self.limits
        with np.errstate(over="ignore"):
            steps = np.rint(x.astype(np.float32).astype(wide) / self._spread(self.scale, x.ndim).astype(wide))
        shifted = steps + self._spread(self.zero_point, x.ndim).astype(wide)
        return np.asarray(np.clip(shifted, least, greatest).astype(self.dtype))

    def dequantize(self, q: Array) -> Reals:
        """Return the real numbers that integers stand for, float32."""
        steps = q.astype(np.int64) - self._spread(self.zero_point, q.ndim).astype(np.int64)
        return np.asarray(steps.astype(np.float32) * self._spread(self.scale, q.ndim))

    def round_trip(self, x: Array) -> Reals:
        """Return the real numbers that are left of `x`."""
        return self.dequantize(self.quantize(x))

    def __eq__(self, other: object) -> bool:
        """Compare type, axis and every number."""
        return isinstance(other, Affine) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        return self.dtype, self.axis, self.scale.shape, self.scale.tobytes(), self.zero_point.tobytes()

    def _spread(self, parameter: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
        if self.axis is None:
            return parameter
        return parameter.reshape([-1 if axis == self.axis else 1 for axis in range(rank)])


def limits_of(dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """Return the least and the greatest number of an integer type, those of ml_dtypes included."""
    found = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    return int(found.min), int(found.max)


def affine_of(
    lower: float | Array,
    upper: float | Array,
    dtype: np.dtype[np.generic],
    *,
    symmetric: bool = False,
    power_of_two: bool = False,
    axis: int | None = None,
) -> Affine:
    """Spread the integers of a type over the numbers from `lower` to `upper`, which are widened to hold zero.

    Symmetric ones have zero in the middle (0, or 128 of uint8), as many steps below as above, and a range as wide
    as the larger side asks. A power of two is the least one that is as wide. A range of zero alone gets scale 1.

    Args:
        lower, upper: one number, or one a channel where there is an `axis`.
        dtype: of the integers.
        symmetric: put zero in the middle.
        power_of_two: take such scales alone.
        axis: of the channels.

    """
    least, greatest = limits_of(dtype)
    low = np.minimum(np.asarray(lower, np.float64), 0)
    high = np.maximum(np.asarray(upper, np.float64), 0)
    middle = (least + greatest + 1) // 2
    widths = np.maximum(-low, high) / (greatest - middle) if symmetric else (high - low) / (greatest - least)
    scale = np.where(widths > 0, np.maximum(widths, SMALLEST_SCALE), 1.0)
    if power_of_two:
        scale = np.exp2(np.ceil(np.log2(scale)))
    scale = scale.astype(np.float32)
    zero = np.full_like(scale, middle) if symmetric else np.clip(np.rint(least - low / scale), least, greatest)
    return Affine(np.asarray(scale), np.asarray(zero).astype(dtype), axis)
