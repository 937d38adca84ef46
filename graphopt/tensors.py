"""The type of an array at the border of a model: name, dtype, shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output.

    Attributes:
        name: as in the model.
        dtype: numpy's name of the element type; `bfloat16` and the float8 types as in ml_dtypes; `object`
            for strings.
        shape: a number a fixed dimension, a text a symbolic one, None one that is unknown. The shape itself
            is None where not even the rank is known.

    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    @property
    def is_static(self) -> bool:
        """Whether every dimension is a number."""
        return self.shape is not None and all(isinstance(dim, int) for dim in self.shape)

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name}: {self.dtype}[…]"
        return f"{self.name}: {self.dtype}[{', '.join('?' if dim is None else str(dim) for dim in self.shape)}]"
