"""The planner of memory, on usages that no model need have: what a run would find in memory is what was written."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.memory.arena import arrange, live_bytes
from graphopt.backends.tvm.memory.sharing import Sharing, Span, share
from graphopt.backends.tvm.memory.usage import Role, Step, Usage

LINE = ALIGNMENT
IN_PLACE = frozenset({(0, 0)})


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Draw a function: steps that compute, join and split what is there, also what they have no business to."""
    sizes = draw(st.lists(st.sampled_from([1, LINE, 2 * LINE]), min_size=1, max_size=2))
    foreign = frozenset(range(len(sizes)))
    steps = []
    for _ in range(draw(st.integers(1, 12))):
        role = draw(st.sampled_from(Role))
        buffers = st.integers(0, len(sizes) - 1)
        reads = tuple(draw(st.lists(buffers, min_size=1, max_size=1 if role is Role.SPLIT else 3)))
        if role is Role.JOIN:
            made = [sum(sizes[buffer] for buffer in reads)]
        elif role is Role.SPLIT:
            whole = sizes[reads[0]]
            cut = draw(st.integers(0, whole // LINE)) * LINE
            made = [size for size in (cut, whole - cut) if size]
        else:
            made = draw(st.lists(st.sampled_from([sizes[reads[0]], LINE, 3 * LINE]), min_size=1, max_size=2))
        pairs = itertools.product(range(len(reads)), range(len(made)))
        fitting = [(read, write) for read, write in pairs if sizes[reads[read]] == made[write]]
        proved = draw(st.sets(st.sampled_from(fitting))) if fitting and role is Role.COMPUTE else set()
        steps.append(Step(reads, tuple(range(len(sizes), len(sizes) + len(made))), role, frozenset(proved)))
        sizes.extend(made)
    own = st.integers(len(foreign), len(sizes) - 1)
    return Usage(tuple(steps), tuple(sizes), frozenset(draw(st.sets(own, max_size=3))), foreign)


Memory = dict[tuple[int | None, int], object]
"""By (result or None for the arena, byte) what is there."""


def contents(usage: Usage) -> list[list[object]]:
    """Return what each buffer holds, a token a byte, if every step copies or computes."""
    held: dict[int, list[object]] = {
        buffer: [(buffer, at) for at in range(usage.sizes[buffer])] for buffer in usage.foreign
    }
    for step in usage.steps:
        if step.role is Role.JOIN:
            held[step.writes[0]] = [token for buffer in step.reads for token in held[buffer]]
        elif step.role is Role.SPLIT:
            tokens = iter(held[step.reads[0]])
            held |= {buffer: list(itertools.islice(tokens, usage.sizes[buffer])) for buffer in step.writes}
        else:
            held |= {buffer: [(buffer, at) for at in range(usage.sizes[buffer])] for buffer in step.writes}
    return [held[buffer] for buffer in range(len(usage.sizes))]


def check(usage: Usage) -> Sharing:
    """Run a usage in planned memory, where every step finds what it reads, before and while it writes."""
    expected, sharing = contents(usage), share(usage)
    inner = [block.spans for block in sharing.blocks if block.result is None]
    arena = arrange(inner)
    bases = iter(arena.bases)
    place = {}
    for block in sharing.blocks:
        base = next(bases) if block.result is None else 0
        place |= {buffer: (block.result, base + offset) for buffer, offset in block.places.items()}
        assert block.result is None or (block.places[block.result], block.size) == (0, usage.sizes[block.result])
    assert live_bytes(inner) <= arena.size
    assert all(start % ALIGNMENT == 0 for _, start in place.values())
    memory: Memory = {}

    def found(buffer: int) -> list[object]:
        root, start = place[buffer]
        return [memory.get((root, start + at)) for at in range(usage.sizes[buffer])]

    for index, step in enumerate(usage.steps):
        own = [(position, buffer) for position, buffer in enumerate(step.reads) if buffer not in usage.foreign]
        if index in sharing.needless:
            continue
        assert all(found(buffer) == expected[buffer] for _, buffer in own)
        for buffer in step.writes:
            root, start = place[buffer]
            assert root is not None or start + usage.sizes[buffer] <= arena.size
            memory |= {(root, start + at): token for at, token in enumerate(expected[buffer])}
        assert all(found(buffer) == expected[buffer] for buffer in step.writes)
        over = {(read, place[step.writes[write]]) for read, write in step.overwritable}
        assert all(
            found(buffer) == expected[buffer] for position, buffer in own if (position, place[buffer]) not in over
        )
    assert all(found(buffer) == expected[buffer] for buffer in usage.results)
    return sharing


@settings(max_examples=300, deadline=None)
@given(usages())
def test_every_step_finds_what_it_reads(usage: Usage) -> None:
    check(usage)


COMPUTE = Step((0,), (1,)), Step((0,), (2,))

CASES: dict[str, tuple[tuple[Step, ...], tuple[int, ...], set[int], set[int]]] = {
    "parts are written into their places": ((*COMPUTE, Step((1, 2), (3,), Role.JOIN)), (1, 64, 64, 128), set(), {2}),
    "what is joined may be the result": ((*COMPUTE, Step((1, 2), (3,), Role.JOIN)), (1, 64, 64, 128), {3}, {2}),
    "a result that is a part stays the caller's": (
        (*COMPUTE, Step((1, 2), (3,), Role.JOIN)),
        (1, 64, 64, 128),
        {1},
        set(),
    ),
    "an argument is no part": ((COMPUTE[0], Step((0, 1), (2,), Role.JOIN)), (64, 64, 128), set(), set()),
    "one value has one place": ((COMPUTE[0], Step((1, 1), (2,), Role.JOIN)), (1, 64, 128), set(), set()),
    "a part that begins within a line is copied": (
        (*COMPUTE, Step((1, 2), (3,), Role.JOIN)),
        (1, 60, 64, 124),
        set(),
        set(),
    ),
    "joined values grow": (
        (*COMPUTE, Step((1, 2), (3,), Role.JOIN), Step((3,), (4,)), Step((3, 4), (5,), Role.JOIN)),
        (1, 64, 64, 128, 64, 192),
        set(),
        {2, 4},
    ),
    "joined values that begin alike share their beginning": (
        (*COMPUTE, Step((1, 2), (3,), Role.JOIN), Step((3,), (4,)), Step((1, 2, 4), (5,), Role.JOIN)),
        (1, 64, 64, 128, 64, 192),
        set(),
        {2, 4},
    ),
    "one end is the other beginning": (
        (*COMPUTE, Step((0,), (3,)), Step((1, 2), (4,), Role.JOIN), Step((2, 3), (5,), Role.JOIN), Step((4, 5), (6,))),
        (1, 64, 64, 64, 128, 128, 64),
        set(),
        {3, 4},
    ),
    "the second of two orders is copied": (
        (*COMPUTE, Step((1, 2), (3,), Role.JOIN), Step((2, 1), (4,), Role.JOIN), Step((3, 4), (5,))),
        (1, 64, 64, 128, 128, 64),
        set(),
        {2},
    ),
    "two ends of one beginning": (
        (*COMPUTE, Step((0,), (3,)), Step((1, 2), (4,), Role.JOIN), Step((1, 3), (5,), Role.JOIN), Step((4, 5), (6,))),
        (1, 64, 64, 64, 128, 128, 64),
        set(),
        {3},
    ),
    "pieces are views": (
        (Step((0,), (1,)), Step((1,), (2, 3), Role.SPLIT), Step((2, 3), (4,))),
        (1, 128, 64, 64, 64),
        set(),
        {1},
    ),
    "a piece that is a result is copied": (
        (Step((0,), (1,)), Step((1,), (2, 3), Role.SPLIT), Step((2, 3), (4,))),
        (1, 128, 64, 64, 64),
        {2},
        set(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_copied(name: str) -> None:
    steps, sizes, results, needless = CASES[name]
    assert check(Usage(steps, sizes, frozenset(results), frozenset({0}))).needless == needless


def blocks(usage: Usage) -> int:
    return len(check(usage).blocks)


def test_a_result_overwrites_an_operand_that_dies() -> None:
    over = Step((1,), (2,), overwritable=IN_PLACE)
    usage = Usage((Step((0,), (1,)), over, Step((2,), (3,))), (64, 64, 64, 32), foreign=frozenset({0}))
    assert blocks(usage) == 2
    assert blocks(replace(usage, steps=(*usage.steps, Step((1,), (4,))), sizes=(*usage.sizes, 32))) == 4, "read again"
    assert blocks(replace(usage, results=frozenset({1}))) == 3, "the caller's"
    assert blocks(replace(usage, results=frozenset({2}))) == 2, "computed where the caller gets it"
    twice = replace(over, reads=(1, 1))
    assert blocks(replace(usage, steps=(usage.steps[0], twice, usage.steps[2]))) == 3, (
        "one way to read it is not proved"
    )
    own = Step((0,), (1,), overwritable=IN_PLACE)
    assert blocks(Usage((own,), (64, 64), foreign=frozenset({0}))) == 1
    assert [sorted(block.places) for block in share(Usage((own,), (64, 64), foreign=frozenset({0}))).blocks] == [[1]]


def test_what_is_joined_later_leaves_its_place_free_until_then() -> None:
    early, late, between = Span(0, 640, 0, 9), Span(640, 640, 8, 9), Span(0, 640, 3, 4)
    assert arrange([(early, late), (between,)]).size == 1280 == live_bytes([(early, late), (between,)])
    assert arrange([(early, late), (replace(between, last=8),)]).size == 1920


def test_an_arena_of_nothing_is_empty() -> None:
    assert (arrange([]).size, live_bytes([])) == (0, 0)
