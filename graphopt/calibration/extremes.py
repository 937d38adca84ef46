"""The least and the largest value of each channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphopt.tensors import Array


@dataclass(frozen=True)
class Extremes:
    """What each channel reaches.

    Attributes:
        minimum, maximum: float64 [C], C the size of axis 1, which holds the channels of images and the features of
            matrices (ONNX operator spec, Conv and Gemm). One number, [1], where there is no such axis, or where its
            size differs from sample to sample.

    """

    minimum: npt.NDArray[np.float64]
    maximum: npt.NDArray[np.float64]

    @staticmethod
    def of(values: Array) -> Extremes:
        """Return the extremes of an array of shape [N, C, …] that is not empty."""
        rows = values.reshape(*values.shape[:2], -1) if values.ndim >= 2 else values.reshape(1, 1, -1)
        return Extremes(
            rows.min(axis=2).min(axis=0).astype(np.float64), rows.max(axis=2).max(axis=0).astype(np.float64)
        )

    def merge(self, other: Extremes) -> Extremes:
        """Return what each channel reaches in both."""
        if self.minimum.size != other.minimum.size:
            return self._overall().merge(other._overall())
        return Extremes(np.minimum(self.minimum, other.minimum), np.maximum(self.maximum, other.maximum))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Extremes)
            and np.array_equal(self.minimum, other.minimum)
            and np.array_equal(self.maximum, other.maximum)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def _overall(self) -> Extremes:
        return Extremes(self.minimum.min(keepdims=True), self.maximum.max(keepdims=True))
