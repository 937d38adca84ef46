"""How many channels a group may keep: as many as fill whole vector registers, since code computes the rest anyway."""

from __future__ import annotations

from graphopt.errors import PipelineError
from graphopt.targets import Target


def check_multiple(multiple: int) -> int:
    """Return the number that widths are to be multiples of; raises PipelineError where it is none."""
    if multiple < 1:
        raise PipelineError(f"multiple={multiple} is none that widths can be of; give 1 or more, or leave it out")
    return multiple


def vector_width(target: Target) -> int:
    """Return how many float32 channels one vector register of a target holds."""
    return target.lanes(32)


def widths(channels: int, multiple: int) -> tuple[int, ...]:
    """Return what a group of so many channels can be left with, the widest first: all, and every multiple below.

    A group of no more channels than `multiple` stays as it is: fewer would take as long.
    """
    return (channels, *range((channels - 1) // multiple * multiple, 0, -multiple))


def multiples_to_try(multiple: int | None, target: Target) -> tuple[int, ...]:
    """Return the multiples to try, one after the other, until a budget can be met: the one that is asked for, if any.

    Otherwise those of the target's vectors, of half of them, and so on: in networks with few channels, fewer whole
    vectors may not do.
    """
    if multiple is not None:
        return (check_multiple(multiple),)
    widest = vector_width(target)
    return tuple(widest >> shift for shift in range(widest.bit_length()))
