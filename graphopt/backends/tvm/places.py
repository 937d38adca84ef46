"""Where the tensors of a planned run lie: in the inputs, the weights, the arena or the outputs.

This is the runtime side: it imports no part of the compiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Space(StrEnum):
    """Whose memory it is."""

    INPUT = "input"
    WEIGHT = "weight"
    ARENA = "arena"
    OUTPUT = "output"


@dataclass(frozen=True)
class Place:
    """Where a tensor begins: which of the inputs, weights or outputs, and at which byte of it, or of the arena."""

    space: Space
    index: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Copy:
    """An output that no kernel makes: an input, a constant, or what another output is."""

    source: Place
    output: int
    size: int
