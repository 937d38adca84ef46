"""The contract between lowering and scheduling: the kernels that lowering marks and for which schedules exist.

Lowering annotates the block that does the work with `KERNEL: <name>`; fusion keeps the annotation; scheduling
finds the block by it. A block without one gets the generic schedule.
"""

from __future__ import annotations

import re
from enum import StrEnum

from tvm import s_tir, tirx

_NUMBER = re.compile(r"\d+(?=_|$)")
_FUSED = "fused_"
KERNEL = "graphopt.kernel"
PHASES = "graphopt.phases"
"""The annotation of how many neighbouring columns of a block's result are summed from different weights each."""
STORED = {"graphopt.stored": "true"}
"""The annotation of a block whose results several elements of the next one share: it is not computed in place."""
WEIGHTS = {"graphopt.weights": "true"}
"""The annotation of a block that makes of a parameter what a sum multiplies with."""

JOIN, SPLIT = "graphopt.join", "graphopt.split"
"""Attributes of a kernel whose result's bytes are those of its operands, one after the other, or the reverse."""


class Kernel(StrEnum):
    """What a marked block computes; loop orders are those of the lowering's docstrings."""

    CONV = "conv"
    """[n, o, *s, l] reduced over [c, *k, i]: lower/convolution.py."""

    CONV_TRANSPOSE = "conv-transpose"
    """[n, o, *s, l] reduced over [c, *j, i], the columns in turns of phases: lower/transposed.py."""

    POINTWISE_CONV = "pointwise-conv"
    """The same of one tap that moves by one."""

    DEPTHWISE_CONV = "depthwise-conv"
    """[n, o, *s, l] reduced over [*k]."""

    POOL = "pool"
    """[n, c, *s, l] reduced over [*k]."""

    WINOGRAD = "winograd"
    """[p, o, t, l] reduced over [c, i], between transforms: lower/winograd.py."""

    DENSE = "dense"
    """[m, o, l] reduced over [k]: lower/linear.py."""


def mark(kernel: Kernel) -> dict[str, str]:
    """Return the block annotation of a kernel."""
    return {KERNEL: kernel.value}


def mark_phases(kernel: Kernel, count: int) -> dict[str, str]:
    """Return the block annotation of a kernel whose columns are of so many phases, one after the other."""
    return {**mark(kernel), PHASES: str(count)}


def is_schedulable(function: tirx.PrimFunc) -> bool:
    """Whether a kernel consists of blocks; sorts, scans and scatters come as finished loops."""
    return isinstance(function.body, s_tir.SBlockRealize) and function.body.block.name_hint == "root"


def readable(name: str) -> str:
    """Return the name of a kernel without what TVM puts there to tell equal ones apart."""
    return _NUMBER.sub("", name.removeprefix(_FUSED))
