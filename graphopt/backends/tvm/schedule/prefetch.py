"""Weights that are needed next, asked for while others are multiplied.

A tile of output channels passes through its weights once for each tile of places. In the first pass they come from
memory, and the core waits; in the others they are in its cache, and the way to memory is idle. So all passes ask for
what the next tile of channels reads, each for its share, a few lines a step of the sum. Where weights are made of what
is read, the sum of those made before asks for it.

A schedule marks the loop each of whose turns has weights of its own, and `prefetch_weights` writes the requests when
all loops are arranged: TVM has no primitive for it. The first axis of weights is that of blocks of channels, and what a
turn reads of one block lies side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tvm
import tvm_ffi
from tvm import ir, s_tir, tirx

from graphopt.backends.tvm.kernels import WEIGHTS
from graphopt.backends.tvm.machine import LINE_BYTES
from graphopt.backends.tvm.schedule.kernel import KernelSchedule, Loop

_TURNS, _ROUNDS = "graphopt.turns", "graphopt.rounds"
_FEWEST_LINES = 4
"""What a pass asks for at least; a tile of few weights has them at once."""
_PRODUCTS_OF_A_REQUEST = 16
"""Vectors that a step multiplies, at least, for each line that it asks for: finding out where it is takes time, too."""
_SUM_BITS = 32
_READ, _SECOND_LEVEL, _DATA = 0, 2, 1
"""What LLVM's `prefetch` takes: for reading, into the second level, of the cache for data."""


def mark_turns(kernel: KernelSchedule, loop: Loop, rounds: Loop | None = None) -> None:
    """Mark a loop each of whose turns reads weights of its own, for `prefetch_weights`; one around it may repeat it."""
    kernel.schedule.annotate(loop, _TURNS, 1)
    if rounds is not None:
        kernel.schedule.annotate(rounds, _ROUNDS, 1)


def prefetch_weights(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Let each turn of the marked loop ask for the weights of the next one."""
    loops: list[tirx.For] = []
    tvm_ffi.structural_walk(function, (tirx.For, loops.append))
    rounds = [loop for loop in loops if _ROUNDS in loop.annotations]

    def replaced(loop: tirx.For) -> tirx.Stmt:
        return _with_requests(loop, rounds, function.params) if _TURNS in loop.annotations else loop

    return tvm_ffi.structural_map(function, (tirx.For, replaced))


def _with_requests(turns: tirx.For, rounds: Sequence[tirx.For], parameters: Sequence[tirx.Var]) -> tirx.For:
    blocks = list(_blocks(turns.body, ()))
    sums = [loops for loops, realize in blocks if _sums(realize)]
    for loops, realize in blocks:
        if not (_sums(realize) or _makes_weights(realize)):
            continue
        work = loops if _sums(realize) else sums[0]
        for region in realize.block.reads:
            if any(region.source.same_as(parameter) for parameter in parameters):
                reading = _reading(turns, rounds, loops, work, realize, region)
                step = reading.step() if reading.is_of_weights() else None
                if step is not None:
                    return _before(turns, work[step].loop_var, reading.requests(step))
    return turns


def _blocks(stmt: tirx.Stmt, loops: tuple[tirx.For, ...]) -> Iterator[tuple[tuple[tirx.For, ...], s_tir.SBlockRealize]]:
    """Yield the blocks of a statement, each with the loops around it."""
    if isinstance(stmt, tirx.For):
        yield from _blocks(stmt.body, (*loops, stmt))
    elif isinstance(stmt, tirx.SeqStmt):
        for each in stmt.seq:
            yield from _blocks(each, loops)
    elif isinstance(stmt, s_tir.SBlockRealize):
        yield loops, stmt


def _sums(realize: s_tir.SBlockRealize) -> bool:
    """Whether a block sums up; what others read, such as the other branch of a residual sum, is no weight."""
    return any(axis.iter_type == tirx.IterVar.CommReduce for axis in realize.block.iter_vars)


def _makes_weights(realize: s_tir.SBlockRealize) -> bool:
    """Whether lowering says that a block makes weights of what it reads."""
    return bool(WEIGHTS.keys() & realize.block.annotations.keys())


@dataclass(frozen=True)
class _Reading:
    """What a turn reads of a tensor.

    Attributes:
        turns: the loop whose turn it is.
        rounds: the one that repeats all turns with other weights, if any.
        loops: those within a turn, the outermost first.
        work: those within a turn around its sum, the same where that is what reads.
        tensor: what is read.
        place: the indices of the first element that is read.
        together: how many are read at a time.

    """

    turns: tirx.For
    rounds: tirx.For | None
    loops: Sequence[tirx.For]
    work: Sequence[tirx.For]
    tensor: tirx.Var
    place: Sequence[tirx.Expr]
    together: int

    def is_of_weights(self) -> bool:
        """Whether each lane, and each turn, reads numbers of its own: the input of a sum is the same for all lanes."""
        return self._depends_on(self.turns) and self._depends_on(self.loops[-1])

    def step(self) -> int | None:
        """Return the index of the loop whose turns ask for some lines each, None where these would be too few.

        That is the innermost whose turns have enough to do meanwhile: what is asked for at once waits for each other.
        """
        serial = [loop.kind == tirx.ForKind.SERIAL for loop in self.work]
        own = [any(loop.same_as(each) for each in self.loops) for loop in self.work]
        passes = [i for i, loop in enumerate(self.work) if serial[i] and own[i] and not self._depends_on(loop)]
        first = max(passes, default=0)
        lines = self._lines() * self._blocks()
        if not serial[first] or lines < _FEWEST_LINES * self._steps(first):
            return None
        busy = [index for index in range(first, len(self.work)) if serial[index] and self._is_busy(index)]
        return max((index for index in busy if index == first or lines >= self._steps(index)), default=None)

    def _is_busy(self, step: int) -> bool:
        """Whether a step multiplies long enough for what it asks for."""
        products = math.prod(int(loop.extent) for loop in self.work[step + 1 :]) // self._elements_of_a_vector()
        return products >= _PRODUCTS_OF_A_REQUEST * self._blocks() * -(-self._lines() // self._steps(step))

    def _elements_of_a_vector(self) -> int:
        """Return how many weights are multiplied at once: some for each lane, all together as wide as its sum."""
        return int(self.loops[-1].extent) * _SUM_BITS // int(tvm.DataType(self.tensor.dtype).bits)

    def requests(self, step: int) -> list[tirx.Stmt]:
        """Return the statements that ask for a step's share of the lines that the next turn reads."""
        lines, steps = self._lines(), self._steps(step)
        number: tirx.Expr = tirx.const(0, self.turns.loop_var.ty.dtype)
        for loop in self._counted(step):
            number = number * int(loop.extent) + loop.loop_var
        return [
            self._request(block, number * lines // steps + line)
            for block in range(self._blocks())
            for line in range(-(-lines // steps))
        ]

    def _request(self, block: int, line: tirx.Expr) -> tirx.Stmt:
        *outer, last = self._start_of_next(block)
        element = tirx.BufferLoad(self.tensor, [*outer, last + line * self._elements_of_a_line()])
        where = tirx.address_of(element)
        return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", where, _READ, _SECOND_LEVEL, _DATA))

    def _lines(self) -> int:
        """Return how many cache lines a turn reads of a block of channels."""
        elements = self.together * math.prod(int(loop.extent) for loop in self.loops if self._depends_on(loop))
        return elements // self._blocks() // self._elements_of_a_line()

    def _elements_of_a_line(self) -> int:
        return int(LINE_BYTES * 8 // tvm.DataType(self.tensor.dtype).bits)

    def _blocks(self) -> int:
        """Return how many blocks of channels are in registers."""
        return math.prod(int(loop.extent) for loop in self.loops if self._is_over_blocks(loop))

    def _is_over_blocks(self, loop: tirx.For) -> bool:
        return int(loop.extent) > 1 and _uses(self.place[0], loop.loop_var)

    def _depends_on(self, loop: tirx.For) -> bool:
        """Whether turns of a loop read at different places."""
        return any(_uses(index, loop.loop_var) for index in self.place)

    def _counted(self, step: int) -> list[tirx.For]:
        """Return the loops down to a step's whose turns are steps: not what is unrolled over places."""
        loops = self.work[: step + 1]
        return [loop for loop in loops if loop.kind == tirx.ForKind.SERIAL or self._depends_on(loop)]

    def _steps(self, step: int) -> int:
        return math.prod(int(loop.extent) for loop in self._counted(step))

    def _start_of_next(self, block: int) -> list[tirx.Expr]:
        """Return the indices of the first element of a block that the next turn reads; the last turn's are its own."""
        following = self._next()

        def start(variable: tirx.Var) -> tirx.Expr:
            for loop, turn in following:
                if variable.same_as(loop.loop_var):
                    return turn
            own = next((loop for loop in self.loops if loop.loop_var.same_as(variable)), None)
            if own is None:
                return variable
            return tirx.const(block if self._is_over_blocks(own) else 0, variable.ty.dtype)

        return [tvm_ffi.structural_map(index, (tirx.Var, start)) for index in self.place]

    def _next(self) -> list[tuple[tirx.For, tirx.Expr]]:
        """Return the next turn, by the loops that count turns; the last turn's is its own."""
        turn, turns = self.turns.loop_var, self.turns.extent
        if self.rounds is None:
            return [(self.turns, tirx.min(turn + 1, turns - 1))]
        number = tirx.min(self.rounds.loop_var * turns + turn + 1, self.rounds.extent * turns - 1)
        return [(self.rounds, tirx.floordiv(number, turns)), (self.turns, tirx.floormod(number, turns))]


def _uses(index: tirx.Expr, variable: tirx.Var) -> bool:
    found: list[tirx.Var] = []
    tvm_ffi.structural_walk(index, (tirx.Var, found.append))
    return any(map(variable.same_as, found))


def _reading(
    turns: tirx.For,
    rounds: Sequence[tirx.For],
    loops: Sequence[tirx.For],
    work: Sequence[tirx.For],
    realize: s_tir.SBlockRealize,
    region: ir.TensorRegion,
) -> _Reading:
    values = {axis.var: at for axis, at in zip(realize.block.iter_vars, realize.iter_values, strict=True)}
    place = [
        tvm_ffi.structural_map(range_.min, (tirx.Var, lambda variable: values.get(variable, variable)))
        for range_ in region.region
    ]
    outer = next((loop for loop in rounds if any(_uses(index, loop.loop_var) for index in place)), None)
    together = math.prod(int(range_.extent) for range_ in region.region)
    return _Reading(turns, outer, loops, work, region.source, place, together)


def _before(turns: tirx.For, variable: tirx.Var, requests: Sequence[tirx.Stmt]) -> tirx.For:
    """Put statements before the body of the loop over a variable."""

    def replaced(loop: tirx.For) -> tirx.For:
        if not loop.loop_var.same_as(variable):
            return loop
        body = tirx.SeqStmt([*requests, loop.body])
        return tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, body, annotations=loop.annotations)

    return tvm_ffi.structural_map(turns, (tirx.For, replaced))
