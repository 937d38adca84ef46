"""N:M sparsity: of each M weights side by side along the input axis, N at most are not zero."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphopt.errors import PipelineError
from graphopt.quantization.rows import Float64

IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_TEXT = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True)
class Pattern:
    """At most `kept` of `size` weights are not zero.

    The weights are those of consecutive input channels, for one output channel and one tap of a window, as sparse
    tensor cores take them (A. Mishra et al.: Accelerating sparse deep neural networks, 2021). Where the channels are no
    multiple of `size`, the last ones are as if zeros followed.
    """

    kept: int
    size: int

    def __str__(self) -> str:
        return f"{self.kept}:{self.size}"

    def groups(self, columns: int, taps: int) -> IntArray:
        """Return to which group each column of a row belongs: a channel has `taps` columns, side by side."""
        channel, tap = np.divmod(np.arange(columns), taps)
        return channel // self.size * taps + tap


def parse_pattern(text: str) -> Pattern:
    """Read `2:4`; raises PipelineError."""
    found = _TEXT.fullmatch(text)
    kept, size = map(int, found.groups()) if found else (0, 0)
    if not 0 < kept < size:
        raise PipelineError(f"pattern {text!r} must be N:M with N from 1 to M - 1, as in 2:4")
    return Pattern(kept, size)


def keep_largest(scores: Float64, zeros: int) -> Mask:
    """Return which elements stay when the `zeros` ones with the smallest scores go; of equal ones the first go."""
    kept = np.ones(scores.size, bool)
    kept[np.argsort(scores, axis=None, kind="stable")[:zeros]] = False
    return kept.reshape(scores.shape)


def keep_in_groups(scores: Float64, groups: IntArray, kept: int) -> Mask:
    """Return which elements stay when each row keeps the `kept` largest of each group.

    Args:
        scores: [..., columns].
        groups: number of the group of each column, [columns].
        kept: how many of a group stay at most.

    """
    by_column = np.broadcast_to(groups, scores.shape)
    order = np.lexsort((-scores, by_column), axis=-1)
    arranged = np.sort(groups)
    rank = np.arange(len(groups)) - np.searchsorted(arranged, arranged)
    mask = np.empty(scores.shape, bool)
    np.put_along_axis(mask, order, np.broadcast_to(rank < kept, scores.shape), axis=-1)
    return mask
