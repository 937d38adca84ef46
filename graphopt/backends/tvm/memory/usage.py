"""What a function does to memory: steps that read and write buffers, numbered in their order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Role(Enum):
    """What a step does, as far as it says where its operands could lie."""

    COMPUTE = auto()
    JOIN = auto()
    """Copies its operands, one after the other, into its result."""
    SPLIT = auto()
    """Copies its operand, cut into pieces, into its results."""


@dataclass(frozen=True)
class Step:
    """One call of a kernel.

    Attributes:
        reads, writes: buffers; one may be read in several places.
        overwritable: pairs (index into reads, index into writes): this result may lie where that operand does.

    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    role: Role = Role.COMPUTE
    overwritable: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Usage:
    """A function.

    Attributes:
        sizes: of each buffer, in bytes. Every buffer that is not foreign is written by exactly one step, before
            it is read.
        results: buffers that the caller gets, and so in memory of their own.
        foreign: buffers that are the caller's already.

    """

    steps: tuple[Step, ...]
    sizes: tuple[int, ...]
    results: frozenset[int] = frozenset()
    foreign: frozenset[int] = frozenset()
