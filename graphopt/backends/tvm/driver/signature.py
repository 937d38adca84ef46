"""The C types and names of what a freestanding program takes and gives."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

C_TYPES = {
    "bool": "bool",
    "bfloat16": "uint16_t",
    "float16": "uint16_t",
    "float32": "float",
    "float64": "double",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""By the dtypes of tensors; floats of 16 bits are known by their bits."""


@dataclass(frozen=True)
class Parameter:
    """An input or an output.

    Attributes:
        name: in the model.
        identifier: in C.
        dtype: as in numpy.
        shape: of it; the last axis runs fastest.

    """

    name: str
    identifier: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def c_type(self) -> str:
        """Return the type of its elements."""
        return C_TYPES[self.dtype]

    @property
    def element_bytes(self) -> int:
        """Return the size of one."""
        return int(re.sub(r"\D", "", self.dtype) or 8) // 8

    @property
    def elements(self) -> int:
        """Return how many there are."""
        return math.prod(self.shape)


def identifiers(names: Sequence[str], prefix: str) -> list[str]:
    """Return C identifiers for names, different in capitals, too; the prefix keeps them off keywords."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = prefix + (re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "0")
        numbered = (f"{plain}_{count}" for count in itertools.count(2))
        found.append(next(one for one in itertools.chain([plain], numbered) if one.upper() not in taken))
        taken.add(found[-1].upper())
    return found
