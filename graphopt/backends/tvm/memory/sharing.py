"""Which buffers share memory.

Parts do with what they are joined into, pieces with what they are cut from, results with the operand that they
overwrite. Buffers of one block have fixed distances. Those that a step fills are the block's spans; the others are
views, of the bytes that steps left out of the run would have copied. A block is sound if, wherever two spans
overlap, the first is not needed any more when the second is written. Joins and splits come first, since they save a
copy; each step is taken if its block stays sound, in the order of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.memory.usage import Role, Usage


@dataclass(frozen=True)
class Span:
    """Bytes of a block that hold one value from the step `first`, which writes it, to the step `last`."""

    offset: int
    size: int
    first: int
    last: int

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class Block:
    """Buffers at fixed distances.

    Attributes:
        places: by buffer the byte of the block where it begins.
        spans: what steps write.
        size: in bytes.
        result: the buffer that the caller gets, which is all of the block; None if there is none.

    """

    places: Mapping[int, int]
    spans: tuple[Span, ...]
    size: int
    result: int | None


@dataclass(frozen=True)
class Sharing:
    """The blocks of a function, and the steps that have become needless."""

    blocks: tuple[Block, ...]
    needless: frozenset[int]


def share(usage: Usage, alignment: int = ALIGNMENT) -> Sharing:
    """Let buffers share memory, so that as few joins and splits as possible copy anything.

    Each buffer lies at a multiple of `alignment` from where its block begins.
    """
    sharer = _Sharer(usage, alignment)
    for index, step in enumerate(usage.steps):
        if step.role is Role.JOIN:
            sharer.leave_out(index, step.writes[0], step.reads)
        elif step.role is Role.SPLIT:
            sharer.leave_out(index, step.reads[0], step.writes)
    for index, step in enumerate(usage.steps):
        for read, write in sorted(step.overwritable) if index not in sharer.needless else ():
            sharer.overwrite(step.reads[read], step.writes[write])
    return Sharing(tuple(sharer.blocks()), frozenset(sharer.needless))


Offsets = dict[int, int]
"""By buffer the distance from any one of them, in bytes."""


class _Sharer:
    """Blocks in the making."""

    def __init__(self, usage: Usage, alignment: int) -> None:
        self._usage, self._alignment = usage, alignment
        self.needless: set[int] = set()
        self._writer = {buffer: index for index, step in enumerate(usage.steps) for buffer in step.writes}
        self._readers: dict[int, list[int]] = {}
        for index, step in enumerate(usage.steps):
            for buffer in step.reads:
                self._readers.setdefault(buffer, []).append(index)
        self._block_of: dict[int, Offsets] = {buffer: {buffer: 0} for buffer in self._writer}

    def leave_out(self, index: int, whole: int, parts: Sequence[int]) -> None:
        """Put parts, one after the other, where the whole of a join or a split lies, and leave out the step."""
        starts = itertools.accumulate((self._usage.sizes[part] for part in parts), initial=0)
        merged = self._merged(whole, zip(parts, starts, strict=False))
        self.needless.add(index)
        if merged is None or not self._is_sound(merged):
            self.needless.remove(index)
        else:
            self._block_of.update(dict.fromkeys(merged, merged))

    def overwrite(self, operand: int, result: int) -> None:
        """Put a result where an operand lies."""
        merged = self._merged(operand, [(result, 0)])
        if merged is not None and self._is_sound(merged):
            self._block_of.update(dict.fromkeys(merged, merged))

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, their places from 0 on."""
        for offsets in {id(offsets): offsets for offsets in self._block_of.values()}.values():
            low, high = self._extent(offsets)
            places = {buffer: offset - low for buffer, offset in offsets.items()}
            result = next((buffer for buffer in places if buffer in self._usage.results), None)
            yield Block(places, tuple(span for _, span in self._spans(places)), high - low, result)

    def _merged(self, whole: int, parts: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> Offsets | None:
        """Bring the blocks of all together, each part so far behind the beginning of the whole.

        None where that contradicts how they lie already, or memory is not ours.
        """
        if whole in self._usage.foreign:
            return None
        merged = dict(self._block_of[whole])
        for part, distance in parts:
            if part in self._usage.foreign or merged.get(part, merged[whole] + distance) != merged[whole] + distance:
                return None
            own = self._block_of[part]
            shift = merged[whole] + distance - own[part]
            merged |= {buffer: offset + shift for buffer, offset in own.items() if buffer not in merged}
        return merged

    def _is_sound(self, offsets: Offsets) -> bool:
        low, high = self._extent(offsets)
        if any((offset - low) % self._alignment for offset in offsets.values()):
            return False
        results = [buffer for buffer in offsets if buffer in self._usage.results]
        if results and (len(results) > 1 or self._usage.sizes[results[0]] != high - low):
            return False
        spans = sorted(self._spans(offsets), key=lambda pair: pair[1].first)
        return all(
            span.end <= over.offset
            or over.end <= span.offset
            or span.last < over.first
            or (span.first < over.first == span.last and self._is_overwrite(offsets, result))
            for (_, span), (result, over) in itertools.combinations(spans, 2)
        )

    def _is_overwrite(self, offsets: Offsets, result: int) -> bool:
        """Whether the step that writes a result may overwrite all that it reads there."""
        step = self._usage.steps[self._writer[result]]
        write, place, size = step.writes.index(result), offsets[result], self._usage.sizes[result]
        for read, operand in enumerate(step.reads):
            start = offsets.get(operand)
            if start is None or start >= place + size or place >= start + self._usage.sizes[operand]:
                continue
            if (read, write) not in step.overwritable or start != place:
                return False
        return True

    def _spans(self, offsets: Offsets) -> Iterator[tuple[int, Span]]:
        for buffer, offset in offsets.items():
            first = self._writer[buffer]
            if first not in self.needless:
                yield buffer, Span(offset, self._usage.sizes[buffer], first, max(first, self._last(buffer)))

    def _last(self, buffer: int) -> int:
        """Return the last step that reads a buffer, or a view of its bytes; the one behind all for a result."""
        if buffer in self._usage.results:
            return len(self._usage.steps)
        last = -1
        for index in self._readers.get(buffer, ()):
            views = self._usage.steps[index].writes if index in self.needless else ()
            last = max(last, *map(self._last, views)) if views else max(last, index)
        return last

    def _extent(self, offsets: Offsets) -> tuple[int, int]:
        return min(offsets.values()), max(offset + self._usage.sizes[buffer] for buffer, offset in offsets.items())
