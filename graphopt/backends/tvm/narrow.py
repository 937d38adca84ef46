"""Numbers narrower than what their products are summed in: neighbours are multiplied and summed together.

Sums of products take `together` neighbours at a time: Σ a[together · i + j] · b[together · i + j] over j. Weights say
by their dtype which numbers these are; what they are multiplied with has the same width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from tvm import tirx

from graphopt.backends.tvm.bfloat16 import STORED, widened
from graphopt.tensors import Array


@dataclass(frozen=True)
class Narrow:
    """A kind of narrow factors.

    Attributes:
        together: how many fill a lane of the sums.
        widen: brings a factor into the dtype of the sums.

    """

    together: int
    widen: Callable[[tirx.Expr], tirx.Expr]


NARROW: Mapping[str, Narrow] = {
    STORED: Narrow(2, widened),
    "int8": Narrow(4, lambda value: value.astype("int32")),
}
"""By the dtype of weights: pairs of bfloat16, summed in float32; quads of 8 bits, summed in int32."""


def group_depth(array: Array, together: int) -> Array:
    """Bring [..., k, lanes], k a multiple of `together`, into [..., k / together, lanes, together]."""
    *outer, depth, lanes = array.shape
    split = array.reshape(*outer, depth // together, together, lanes)
    return np.ascontiguousarray(np.moveaxis(split, -2, -1))
