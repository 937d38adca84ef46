"""Vectors of int32 that become bytes side by side, narrowed together.

To narrow one vector takes two turns of the one port that moves bytes, as packing two into one does; and packing
saturates. So up to four vectors whose bytes are stored next to each other are packed, put in order and stored at once.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual: VPMOVUSDB, VPACKSSDW, VPACKUSWB, VPERMD.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import tvm_ffi
from tvm import ir, sym, tirx

from graphopt.targets import Target

_ALLOWED = "graphopt.narrowing"
_LANES = 16
_MOST = 4
_WIDE, _NARROW = "int32x16", "uint8x16"
_LARGEST = 255
_DEFINITION = """
define <{bytes} x i8> @{function}({parameters}) alwaysinline {{
  %low = call <32 x i16> @llvm.x86.avx512.packssdw.512(<16 x i32> %v0, <16 x i32> %v1)
  %high = call <32 x i16> @llvm.x86.avx512.packssdw.512(<16 x i32> %v{third}, <16 x i32> %v{last})
  %mixed = call <64 x i8> @llvm.x86.avx512.packuswb.512(<32 x i16> %low, <32 x i16> %high)
  %quads = bitcast <64 x i8> %mixed to <16 x i32>
  %ordered = shufflevector <16 x i32> %quads, <16 x i32> poison, <{quads} x i32> <{order}>
  %result = bitcast <{quads} x i32> %ordered to <{bytes} x i8>
  ret <{bytes} x i8> %result
}}
"""
_DECLARED = """
declare <32 x i16> @llvm.x86.avx512.packssdw.512(<16 x i32>, <16 x i32>)
declare <64 x i8> @llvm.x86.avx512.packuswb.512(<32 x i16>, <32 x i16>)
"""


def allow_narrowing(function: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    """Mark a kernel for a target that has the instructions."""
    has = target.vector_bits == 512 and "avx512bw" in target.features
    return function.with_attr(_ALLOWED, 1) if has else function


def narrow_together(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Store bytes next to each other at once, in a kernel whose loops are vectors already.

    What is stored must be seen to lie in 0 … 255.
    """
    if _ALLOWED not in (function.attrs or {}):
        return function
    counts: set[int] = set()

    def merged(block: tirx.SeqStmt) -> tirx.Stmt:
        statements = [statement for run in _runs(block.seq) for statement in run.statements(counts)]
        return tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]

    body = tvm_ffi.structural_map(function.body, (tirx.SeqStmt, merged))
    if not counts:
        return function
    text = ir.StringImm(_DECLARED + "".join(map(_definition, sorted(counts))))
    return function.with_body(tirx.AttrStmt(tirx.const(0, "int32"), "pragma_import_llvm", text, body))


@dataclass
class _Run:
    """Stores of neighbouring bytes, and the names that are bound between them; or one other statement.

    Attributes:
        values: of all names that were bound before, by name.

    """

    values: dict[tirx.Var, tirx.Expr]
    names: list[tirx.Bind] = field(default_factory=list)
    stores: list[tirx.Stmt] = field(default_factory=list)

    def takes(self, store: tirx.Stmt) -> bool:
        """Whether the bytes of a store come next, and nothing is read there that these stores change."""
        if not self.stores:
            return True
        first = self.stores[0]
        if len(self.stores) == _MOST or _wide(first) is None or _wide(store) is None:
            return False
        place = self._plain(first.indices[0].base) + _LANES * len(self.stores)
        own = self._plain(store.indices[0].base)
        return store.buffer.same_as(first.buffer) and _are_equal(own, place) and _reads_its_own_place(store)

    def statements(self, counts: set[int]) -> Iterator[tirx.Stmt]:
        """Yield them, the stores as one; add how many they were."""
        yield from self.names
        if len(self.stores) < 2:
            yield from self.stores
            return
        counts.add(len(self.stores))
        first, count = self.stores[0], len(self.stores)
        narrowed = tirx.call_pure_extern(f"uint8x{_LANES * count}", _function(count), *map(_wide, self.stores))
        yield tirx.BufferStore(first.buffer, narrowed, [tirx.Ramp(first.indices[0].base, 1, _LANES * count)])

    def _plain(self, place: tirx.Expr) -> tirx.Expr:
        """Return a place without names that were bound."""
        return tvm_ffi.structural_map(place, (tirx.Var, lambda name: self.values.get(name, name)))


def _runs(statements: Sequence[tirx.Stmt]) -> Iterator[_Run]:
    """Yield stores that may be merged together, and each other statement alone."""
    values: dict[tirx.Var, tirx.Expr] = {}
    run = _Run(values)
    for statement in statements:
        if isinstance(statement, tirx.Bind) and not _loads(statement.value):
            run.names.append(statement)  # it may as well stand before the stores
            values[statement.var] = statement.value
            continue
        if not run.takes(statement):
            yield run
            run = _Run(values)
        run.stores.append(statement)
    yield run


def _loads(expr: tirx.Expr) -> list[ir.TensorLoad]:
    loads: list[ir.TensorLoad] = []
    tvm_ffi.structural_walk(expr, (ir.TensorLoad, loads.append))
    return loads


def _reads_its_own_place(store: tirx.BufferStore) -> bool:
    place = store.indices[0]
    own = [load for load in _loads(store.value) if load.source.same_as(store.buffer)]
    return all(isinstance(at := load.indices[0], tirx.Ramp) and _are_equal(at.base, place.base) for load in own)


def _are_equal(left: tirx.Expr, right: tirx.Expr) -> bool:
    return bool(sym.Analyzer().can_prove_equal(left, right))


def _wide(statement: tirx.Stmt) -> tirx.Expr | None:
    """Return what a statement narrows and stores, None for any other; packing brings it between 0 and 255."""
    if not isinstance(statement, tirx.BufferStore) or len(statement.indices) != 1:
        return None
    (place,), value = statement.indices, statement.value
    if not isinstance(place, tirx.Ramp) or int(place.stride) != 1 or not isinstance(value, tirx.Cast):
        return None
    clamped = value.value
    if (str(value.ty.dtype), str(clamped.ty.dtype)) != (_NARROW, _WIDE) or not isinstance(clamped, tirx.Max):
        return None
    low, high = _number(clamped.b), _number(clamped.a.b) if isinstance(clamped.a, tirx.Min) else None
    if low is None or high is None or not 0 <= low <= high <= _LARGEST:
        return None
    return clamped.a.a if (low, high) == (0, _LARGEST) else clamped


def _number(expr: tirx.Expr) -> int | None:
    constant = expr.value if isinstance(expr, tirx.Broadcast) else expr
    return int(constant) if isinstance(constant, tirx.IntImm) else None


def _function(count: int) -> str:
    return f"graphopt_narrow_{count}"


def _definition(count: int) -> str:
    """Return the function (vectors) → bytes. Within each lane of 128 bits, packing leaves four of each vector."""
    order = [lane * _MOST + vector for vector in range(count) for lane in range(_LANES // 4)]
    return _DEFINITION.format(
        function=_function(count),
        bytes=_LANES * count,
        quads=_LANES * count // 4,
        parameters=", ".join(f"<16 x i32> %v{index}" for index in range(count)),
        third=min(2, count - 1),
        last=count - 1,
        order=", ".join(f"i32 {place}" for place in order),
    )
