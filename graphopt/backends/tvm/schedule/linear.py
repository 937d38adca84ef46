"""Rows times packed panels: a tile of rows × panels stays in registers while the depth is summed into it."""

from __future__ import annotations

from tvm import tirx

from graphopt.backends.tvm.schedule.dots import neighbours
from graphopt.backends.tvm.schedule.generic import schedule_block
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, divisor_up_to, divisors
from graphopt.backends.tvm.schedule.summation import sum_in_registers

_PANELS = 4
"""Panels that a single row is multiplied with at a time, so that sums do not wait for each other."""


def schedule_dense(kernel: KernelSchedule, block: Block) -> bool:
    """Schedule [m, o, l] reduced over [k], read by one block over [m, n]."""
    schedule = kernel.schedule
    consumers = schedule.get_consumers(block)
    if len(consumers) != 1 or len(schedule.get_loops(consumers[0])) != 2:
        return False
    (output,) = consumers
    (row, panel, lane), _ = kernel.reduction_axes(block)
    rows, panels, lanes = map(kernel.extent, (row, panel, lane))
    tile_rows, tile_panels = _tile(kernel, rows, panels)
    if tile_rows > 1:
        _pack_rows(kernel, block, tile_rows)
    m, n = schedule.get_loops(output)
    m_outer, m_inner = schedule.split(m, [None, tile_rows])
    n_outer, n_inner = schedule.split(n, [None, tile_panels * lanes])
    schedule.reorder(m_outer, n_outer, m_inner, n_inner)
    task = schedule.fuse(m_outer, n_outer)
    schedule.parallel(task)
    schedule.compute_at(block, task, preserve_unit_loops=True)
    sum_in_registers(kernel, block, None, depth=1)
    return True


def _pack_rows(kernel: KernelSchedule, block: Block, count: int) -> None:
    """Bring [m, k] into [m / count, k, count]: rows that lie a multiple of 4096 bytes apart share a set of the cache.

    Of what is summed together, neighbours stay so: [m / count, k / 2, count, 2], or 4.
    """
    schedule = kernel.schedule
    packed = schedule.cache_read(block, 0, "global")
    together = neighbours(kernel, block) or 1

    def side_by_side(m: tirx.Var, k: tirx.Var) -> list[tirx.Expr]:
        places = [tirx.floordiv(m, count), tirx.floordiv(k, together), tirx.floormod(m, count)]
        return places if together == 1 else [*places, tirx.floormod(k, together)]

    order = tirx.IndexMap.from_func(side_by_side, index_dtype="int32")
    schedule.transform_layout(packed, ("write", 0), order)
    schedule.transform_block_layout(packed, order)
    schedule_block(kernel, packed)


def _tile(kernel: KernelSchedule, rows: int, panels: int) -> tuple[int, int]:
    registers = kernel.target.vector_registers
    tile_rows = kernel.choose("rows", divisors(rows, registers - 2), divisor_up_to(rows, registers - 4))
    default = 1 if tile_rows > 1 else divisor_up_to(panels, _PANELS)
    return tile_rows, kernel.choose("panels", divisors(panels, registers // tile_rows), default)
