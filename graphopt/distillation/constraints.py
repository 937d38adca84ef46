"""What training must keep of an initializer: zeros, elements that share a value, or all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Mask:
    """Elements that stay zero.

    Attributes:
        kept: of the initializer's shape; where it is False the element is zero before, during and after.

    """

    kept: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Elements with the same number have one value, which gets the sum of their gradients (Han et al. 2016).

    Attributes:
        indices: of the initializer's shape, whole numbers from 0 on; a value starts as the mean of its elements.

    """

    indices: npt.NDArray[np.integer]


@dataclass(frozen=True)
class Frozen:
    """Nothing changes."""


Constraint = Mask | Codebook | Frozen
