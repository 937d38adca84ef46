"""Places for blocks in one arena, so that none of two that are needed at the same time overlaps the other.

Greedy by size: the largest block first, each at the lowest place where it fits. A block is placed by its spans and
not by its outline: what a later part of a joined value will fill is free until then.

Source: Y. Pisarchyk, J. Lee, "Efficient Memory Management for Deep Neural Net Inference", MLSys 2020 workshop on
resource-constrained learning in wireless networks, section 5.2; for blocks of one span this is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.memory.sharing import Span


@dataclass(frozen=True)
class Arena:
    """Where each block begins, and the size of the whole, in bytes."""

    bases: tuple[int, ...]
    size: int


def arrange(blocks: Sequence[Sequence[Span]], alignment: int = ALIGNMENT) -> Arena:
    """Place blocks, given by their spans, each at a multiple of `alignment`."""
    bases = [0] * len(blocks)
    placed: list[Span] = []
    size = 0
    for index in sorted(range(len(blocks)), key=lambda index: -_size(blocks[index])):
        bases[index] = base = _lowest(blocks[index], placed, alignment)
        placed.extend(replace(span, offset=base + span.offset) for span in blocks[index])
        size = max(size, base + _size(blocks[index]))
    return Arena(tuple(bases), aligned(size, alignment))


def live_bytes(blocks: Sequence[Sequence[Span]]) -> int:
    """Return how many bytes are needed at once at most: no arena is smaller."""
    steps = {span.first for spans in blocks for span in spans}
    return max((sum(_covered(spans, step) for spans in blocks) for step in steps), default=0)


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """Round up to where the next tensor may begin."""
    return -(-size // alignment) * alignment


def _size(spans: Sequence[Span]) -> int:
    return max(span.end for span in spans)


def _lowest(spans: Sequence[Span], placed: Sequence[Span], alignment: int) -> int:
    base = 0
    for low, high in sorted(_forbidden(spans, placed)):
        if low < base < high:
            base = aligned(high, alignment)
    return base


def _forbidden(spans: Sequence[Span], placed: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Yield between which places, without the two, a block would overlap one that is there."""
    for span in spans:
        for other in placed:
            if span.first <= other.last and other.first <= span.last:
                yield other.offset - span.end, other.end - span.offset


def _covered(spans: Sequence[Span], step: int) -> int:
    """Return how many bytes of a block are needed in a step; spans that follow each other in it count once."""
    total = reached = 0
    for span in sorted((span for span in spans if span.first <= step <= span.last), key=lambda span: span.offset):
        total += max(0, span.end - max(reached, span.offset))
        reached = max(reached, span.end)
    return total
