"""How many channels a group may keep: as many as fill whole vector registers, since code computes the rest anyway."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.errors import PipelineError
from graphopt.targets import Target

ENOUGH = 4
"""A group with fewer vectors takes parts of them: it could not become a little narrower otherwise."""


@dataclass(frozen=True)
class Snap:
    """What narrower widths are multiples of.

    Attributes:
        multiple: in groups of many channels.
        least: what it is halved down to in groups that have fewer than `ENOUGH` of it.

    """

    multiple: int
    least: int

    def of(self, channels: int) -> int:
        """Return what the widths of a group of so many channels are multiples of."""
        multiple = self.multiple
        while multiple > self.least and channels < ENOUGH * multiple:
            multiple //= 2
        return multiple

    def widths(self, channels: int) -> tuple[int, ...]:
        """Return what a group of so many channels can be left with, the widest first: all, and every multiple below."""
        multiple = self.of(channels)
        return (channels, *range((channels - 1) // multiple * multiple, 0, -multiple))

    def __str__(self) -> str:
        parts = [self.multiple]
        while parts[-1] > self.least:
            parts.append(parts[-1] // 2)
        return " or ".join(map(str, parts))


def vector_width(target: Target) -> int:
    """Return how many float32 channels one vector register of a target holds."""
    return target.lanes(32)


def snaps_to_try(multiple: int | None, target: Target) -> tuple[Snap, ...]:
    """Return what to snap to, one after the other, until a budget can be met.

    Args:
        multiple: what is asked for, in all groups; None takes whole vectors of the target, then halves and quarters too
            in groups of few channels, then half of all that, and so on: in networks with few channels nothing else may
            do. Less than a vector saves multiply-adds and weights, and hardly any time.
        target: whose vectors they are.

    Raises:
        PipelineError: there are no such multiples.

    """
    if multiple is not None:
        if multiple < 1:
            raise PipelineError(f"multiple={multiple} is none that widths can be of; give 1 or more, or leave it out")
        return (Snap(multiple, multiple),)
    whole = vector_width(target)
    parts = (Snap(whole >> shift, max(whole >> shift + 2, 1)) for shift in range(whole.bit_length()))
    return (Snap(whole, whole), *parts)
