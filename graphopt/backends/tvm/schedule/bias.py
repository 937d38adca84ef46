"""Sums of integers that begin with their bias, instead of having it added when they are finished.

TVM's way from a description to a kernel knows no beginning but a number. In a kernel that is not scheduled yet, the
bias is an operand of the block behind the sums, at the place of the sum in some axes and at 0 in the others. Sums of
floats stay as they are: another order of additions is another answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm_ffi
from tvm import ir, s_tir, tirx

from graphopt.backends.tvm.kernels import KERNEL

_DTYPE = "int32"
_FIRST = -1
"""Stands for the place 0, where other numbers are axes."""


@dataclass(frozen=True)
class _Addition:
    """A block that adds a bias to a sum, an element each.

    Attributes:
        sum, bias: what it loads.
        axes: by axis of the bias, that of the sum whose place it has, or `_FIRST`.

    """

    block: s_tir.SBlock
    sum: ir.TensorLoad
    bias: ir.TensorLoad
    axes: tuple[int, ...]


def begin_with_bias(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return a kernel whose marked sums begin with what the one block that reads them adds to them, if it does so."""
    blocks: list[s_tir.SBlock] = []
    tvm_ffi.structural_walk(kernel.body, (s_tir.SBlock, blocks.append))
    sums = next((block for block in blocks if KERNEL in block.annotations), None)
    if sums is None or sums.init is None or sums.writes[0].source.dtype != _DTYPE:
        return kernel
    result = sums.writes[0].source
    readers = [block for block in blocks if any(region.source.same_as(result) for region in block.reads)]
    readers = [block for block in readers if not block.same_as(sums)]
    addition = _addition(readers[0], result, kernel) if len(readers) == 1 else None
    if addition is None:
        return kernel

    def replaced(block: s_tir.SBlock) -> s_tir.SBlock:
        if block.same_as(sums):
            return _begun(block, addition)
        return _without_bias(addition) if block.same_as(addition.block) else block

    return tvm_ffi.structural_map(kernel, (s_tir.SBlock, replaced))


def _addition(block: s_tir.SBlock, result: tirx.Var, kernel: tirx.PrimFunc) -> _Addition | None:
    """Read a block as the addition of a result and a bias, which the kernel is given; None for anything else."""
    store = block.body
    if not isinstance(store, tirx.BufferStore) or not isinstance(store.value, tirx.Add):
        return None
    loads = [each for each in (store.value.a, store.value.b) if isinstance(each, ir.TensorLoad)]
    own = [load for load in loads if load.source.same_as(result)]
    given = [load for load in loads if any(load.source.same_as(parameter) for parameter in kernel.params)]
    if len(own) != 1 or len(given) != 1:
        return None
    axes = [_axis(index, own[0].indices) for index in given[0].indices]
    known = tuple(axis for axis in axes if axis is not None)
    return _Addition(block, own[0], given[0], known) if len(known) == len(axes) else None


def _axis(index: tirx.Expr, places: Sequence[tirx.Expr]) -> int | None:
    """Return the axis whose place an index is, `_FIRST` for 0, None for another."""
    if isinstance(index, tirx.IntImm):
        return _FIRST if int(index) == 0 else None
    return next((axis for axis, place in enumerate(places) if place.same_as(index)), None)


def _begun(sums: s_tir.SBlock, addition: _Addition) -> s_tir.SBlock:
    places = sums.init.indices
    zero = tirx.const(0, places[0].ty.dtype)
    indices = [zero if axis == _FIRST else places[axis] for axis in addition.axes]
    init = tirx.BufferStore(sums.init.buffer, tirx.BufferLoad(addition.bias.source, indices), places)
    return s_tir.SBlock(
        sums.iter_vars, sums.reads, sums.writes, sums.name_hint, sums.body, init, annotations=sums.annotations
    )


def _without_bias(addition: _Addition) -> s_tir.SBlock:
    block, store = addition.block, addition.block.body
    reads = [region for region in block.reads if region.source.same_as(addition.sum.source)]
    copy = tirx.BufferStore(store.buffer, addition.sum, store.indices)
    return s_tir.SBlock(block.iter_vars, reads, block.writes, block.name_hint, copy, annotations=block.annotations)
