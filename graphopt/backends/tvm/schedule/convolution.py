"""Dense convolution: a tile of outputs stays in registers while all products are summed into it.

Any number of spatial axes: [n, o, *s, l] reduced over channels and taps. A tile is a few columns of a few blocks of
output channels. Where the columns do not divide by it, the last tile is narrower: LoopPartition makes code of its own
for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tvm
from tvm import tirx

from graphopt.backends.tvm.kernels import PHASES
from graphopt.backends.tvm.machine import product_cycles
from graphopt.backends.tvm.schedule.dots import neighbours
from graphopt.backends.tvm.schedule.generic import schedule_block
from graphopt.backends.tvm.schedule.kernel import (
    Block,
    KernelSchedule,
    divisors,
    keep_in_registers,
    peel_last,
)
from graphopt.backends.tvm.schedule.prefetch import mark_turns
from graphopt.backends.tvm.schedule.sharing import Convolution
from graphopt.backends.tvm.schedule.summation import partial_sums, sum_in_registers, unrolls_taps
from graphopt.backends.tvm.schedule.window import output_of
from graphopt.backends.tvm.tile import Tile, tiles


def schedule_conv(kernel: KernelSchedule, block: Block) -> bool:
    """Schedule a dense convolution; the padded input is shared by all tasks."""
    output = output_of(kernel, block)
    if output is None:
        return False
    shared = _shared(kernel, block, is_flat=False)
    rows = _rows_of_a_task(kernel, shared)
    _schedule(kernel, block, output, rows, shared.tile(rows))
    return True


def schedule_pointwise_conv(kernel: KernelSchedule, block: Block) -> bool:
    """Schedule a convolution of one tap: the places of a task are one axis, whose tiles do not end where a row does."""
    output = output_of(kernel, block)
    if output is None:
        return False
    schedule = kernel.schedule
    shape, shared = kernel.shape(block), _shared(kernel, block, is_flat=True)
    rows = _rows_of_a_task(kernel, shared)
    chunk = None if rows is None else rows * shape[-2]
    for each in (block, output):
        extents = [int(axis.dom.extent) for axis in schedule.get(each).iter_vars]
        schedule.transform_block_layout(each, _flat(extents, len(shape), chunk))
    schedule.transform_layout(block, ("write", 0), _flat(shape, len(shape), chunk))
    _schedule(kernel, block, output, None if rows is None else 1, shared.tile(rows))
    return True


def _flat(extents: Sequence[int], rank: int, chunk: int | None) -> tirx.IndexMap:
    """Return the map from [n, o, *s, l] to [n, o, Π s, l]; what follows stays, but for axes of one element.

    Where tasks are chunks of places, these are two axes: one alone would end where all places do, and the last tile of
    a task would reach into the next.
    """

    def flat(*axes: tirx.Var) -> list[tirx.Expr]:
        place: tirx.Expr = axes[2]
        for axis, extent in zip(axes[3 : rank - 1], extents[3 : rank - 1], strict=True):
            place = place * extent + axis
        places = [place] if chunk is None else [tirx.floordiv(place, chunk), tirx.floormod(place, chunk)]
        rest = [axis for axis, extent in zip(axes[rank:], extents[rank:], strict=True) if extent > 1]
        return [axes[0], axes[1], *places, axes[rank - 1], *rest]

    return tirx.IndexMap.from_func(flat, ndim=len(extents), index_dtype="int32")


def _schedule(kernel: KernelSchedule, block: Block, output: Block, chunk: int | None, default: Tile) -> None:
    """Keep a tile in registers; a task makes `chunk` rows of all channels, or a tile of channels of all rows."""
    schedule = kernel.schedule
    producers = schedule.get_producers(block)
    partial = partial_sums(kernel, block)
    n, blocks, *rows, column, lane = schedule.get_loops(output)
    if not rows:
        rows = [schedule.add_unit_loop(column)]
    shape = kernel.extent(blocks), kernel.extent(column), kernel.target
    tile = kernel.choose("tile", tiles(*shape, _phases(kernel, block)), default)
    blocks, block_inner = schedule.split(blocks, [None, tile.blocks])
    column, column_inner = schedule.split(column, [None, tile.columns])
    registers = [block_inner, column_inner, lane]
    if chunk is None:
        outer, inner = [n, blocks], [*rows, column]
    else:
        row, row_inner = schedule.split(rows[-1], [None, chunk])
        outer, inner = [n, *rows[:-1], row], [blocks, row_inner, column]
    schedule.reorder(*outer, *inner, *registers)
    keep_in_registers(kernel, registers)
    tasks = schedule.fuse(*outer)
    schedule.parallel(tasks)
    if PHASES not in schedule.get(block).annotations:  # rows would have weights of their own, too
        mark_turns(kernel, tasks if chunk is None else blocks)
    peel_last(kernel, column)
    schedule.compute_at(block, column, preserve_unit_loops=True)
    sum_in_registers(kernel, block, partial, depth=1 + len(inner))
    for producer in producers:
        schedule_block(kernel, producer)


def _phases(kernel: KernelSchedule, block: Block) -> int:
    """Return how many columns in a row have weights of their own: a tile of whole turns finds each at a fixed place."""
    return int(kernel.schedule.get(block).annotations.get(PHASES, 1))


def _is_crowded(kernel: KernelSchedule, block: Block) -> bool:
    """Whether LLVM loads the weights of several steps together: those of bytes, and of taps that are unrolled."""
    return bool(kernel.schedule.get(block).writes[0].source.dtype == "int32") or unrolls_taps(kernel, block)


def _rows_of_a_task(kernel: KernelSchedule, shared: Convolution) -> int | None:
    most = shared.rows[-1]
    return kernel.choose("rows", [None, *divisors(most, most)], shared.rows_of_a_task())


def _shared(kernel: KernelSchedule, block: Block, *, is_flat: bool) -> Convolution:
    data, weights = (region.source for region in kernel.schedule.get(block).reads)
    batch, blocks, *rows, columns, lanes = kernel.shape(block)
    size = math.prod(map(int, weights.shape))
    products = size * math.prod(rows) * columns
    elements = min(math.prod(map(int, data.shape)) // batch, products // (blocks * lanes))
    together = neighbours(kernel, block) or 1
    return Convolution(
        batch=batch,
        blocks=blocks,
        rows=rows or [1],
        columns=columns,
        cycles=product_cycles(batch * products, kernel.target) / together,
        data=elements * tvm.DataType(data.dtype).bits // 8,
        weights=size * tvm.DataType(weights.dtype).bits // 8,
        target=kernel.target,
        is_flat=is_flat,
        is_crowded=_is_crowded(kernel, block),
        phases=_phases(kernel, block),
    )
