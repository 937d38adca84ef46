"""Which operands a kernel may write its result over.

An element of the result may lie where an element of an operand does if nothing reads that one later. This is proved
where the result is written by one block, once an element, and the operand is read by the same block alone, at the
element that it writes: sums of two values are like that, and so is a convolution in the value that is added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import s_tir, sym, tirx
from tvm_ffi.structural import structural_equal, structural_visit

from graphopt.backends.tvm.kernels import is_schedulable


def overwritable(kernel: tirx.PrimFunc) -> frozenset[tuple[int, int]]:
    """Return pairs of parameters (operand, result), as indices, of a kernel that is scheduled or not."""
    if not is_schedulable(kernel):
        return frozenset()
    found = _Accesses(kernel)
    return frozenset(
        (operand, result)
        for result, stores in found.stores.items()
        for operand, loads in found.loads.items()
        if {operand, result}.isdisjoint(found.escaped)
        and operand not in found.stores
        and result not in found.loads
        and _is_compact_as(kernel.params[operand].ty, kernel.params[result].ty)
        and _writes_once(stores)
        and all(load.is_at(stores[0]) for load in loads)
    )


@dataclass(frozen=True)
class _Access:
    """An element that a block reads or writes; `realize` is None outside of blocks."""

    realize: Any
    loops: tuple[tirx.For, ...]
    indices: Sequence[Any]

    def is_at(self, other: _Access) -> bool:
        """Whether two accesses are of the same element in each run of the same block."""
        if self.realize is None or other.realize is None or not self.realize.same_as(other.realize):
            return False
        return bool(structural_equal(self.indices, other.indices))


@dataclass
class _Accesses:
    """All accesses of a kernel to its parameters, by their indices."""

    kernel: tirx.PrimFunc
    loads: dict[int, list[_Access]] = field(default_factory=dict)
    stores: dict[int, list[_Access]] = field(default_factory=dict)
    escaped: set[int] = field(default_factory=set)
    """Parameters that something else is done with."""
    _loops: list[tirx.For] = field(default_factory=list)
    _blocks: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = {parameter: index for index, parameter in enumerate(self.kernel.params)}
        structural_visit(
            self.kernel.body,
            [
                (tirx.For, self._for),
                (s_tir.SBlockRealize, self._realize),
                (tirx.BufferStore, self._store),
                (tvm.ir.TensorLoad, self._load),
                (tvm.ir.Var, self._variable),
            ],
        )

    def _for(self, loop: tirx.For, visitor: Any) -> None:
        self._loops.append(loop)
        visitor.visit(loop.body)
        self._loops.pop()

    def _realize(self, realize: Any, visitor: Any) -> None:
        for value in (*realize.iter_values, realize.predicate, *realize.block.match_buffers):
            visitor.visit(value)
        self._blocks.append(realize)
        if realize.block.init is not None:
            visitor.visit(realize.block.init)
        visitor.visit(realize.block.body)
        self._blocks.pop()

    def _store(self, store: tirx.BufferStore, visitor: Any) -> None:
        self._note(self.stores, store.buffer, store.indices)
        for value in (store.value, *store.indices):
            visitor.visit(value)

    def _load(self, load: Any, visitor: Any) -> None:
        self._note(self.loads, load.source, load.indices)
        for index in load.indices:
            visitor.visit(index)

    def _variable(self, variable: Any, _: Any) -> None:
        index = self._index(variable)
        if index is not None:
            self.escaped.add(index)

    def _note(self, accesses: dict[int, list[_Access]], buffer: Any, indices: Sequence[Any]) -> None:
        index = self._index(buffer)
        if index is not None:
            block = self._blocks[-1] if self._blocks else None
            accesses.setdefault(index, []).append(_Access(block, tuple(self._loops), indices))

    def _index(self, variable: Any) -> int | None:
        return self._places.get(variable)


def _writes_once(stores: Sequence[_Access]) -> bool:
    """Whether a buffer is written by one block that neither reduces nor runs twice for an element."""
    if len(stores) != 1 or stores[0].realize is None:
        return False
    realize, loops = stores[0].realize, stores[0].loops
    if any(axis.iter_type != tirx.IterVar.DataPar for axis in realize.block.iter_vars):
        return False
    domains = {loop.loop_var: tvm.ir.Range.from_min_extent(loop.min, loop.extent) for loop in loops}
    level = sym.iter_affine_map.IterMapLevel.Bijective
    return len(sym.detect_iter_map(realize.iter_values, domains, realize.predicate, level).indices) > 0


def _is_compact_as(operand: Any, result: Any) -> bool:
    """Whether two buffers have their elements, of one size, in the same order without gaps."""
    return (
        operand.dtype == result.dtype
        and bool(structural_equal(operand.shape, result.shape))
        and not operand.strides
        and not result.strides
    )
