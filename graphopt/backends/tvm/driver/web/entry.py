"""The function that runs a model: calls of kernels at constant places, which LLVM compiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx

from graphopt.backends.tvm.driver.bare import PREFIX
from graphopt.backends.tvm.driver.program import Program
from graphopt.backends.tvm.driver.sequence import Call
from graphopt.backends.tvm.places import Copy, Place, Space

NAME = "model_run"
_BYTE = tvm.ir.PointerType(tvm.ir.PrimType("uint8"))


def compile_entry(program: Program, places: Sequence[int], machine: tvm.target.Target) -> Any:
    """Return the code of `model_run`, a `tvm.runtime.Module`.

    It takes a pointer for each input, one for each output, then the arena and the weights; these begin at `places` of
    their file.
    """
    entry = _Entry(program, places)
    function = tirx.PrimFunc(entry.parameters, tirx.SeqStmt(entry.statements()))
    function = function.with_attr("global_symbol", NAME).with_attr("target", machine)
    return tvm.get_global_func(f"target.build.{machine.kind.name}")(tvm.IRModule({NAME: function}), machine)


@dataclass
class _Entry:
    """Writes the function of a program."""

    program: Program
    places: Sequence[int]

    def __post_init__(self) -> None:
        self._inputs = [tirx.Var(one.identifier, _BYTE) for one in self.program.inputs]
        self._outputs = [tirx.Var(one.identifier, _BYTE) for one in self.program.outputs]
        self._arena, self._weights = tirx.Var("arena", _BYTE), tirx.Var("weights", _BYTE)
        self.parameters = [*self._inputs, *self._outputs, self._arena, self._weights]

    def statements(self) -> list[tirx.Stmt]:
        """Return all calls, then all copies."""
        run = self.program.sequence
        copies = [statement for copy in run.copies for statement in self._copy(copy)]
        return [*map(self._call, run.calls), *copies, tirx.Evaluate(0)]

    def _call(self, call: Call) -> tirx.Stmt:
        return tirx.Evaluate(tirx.call_extern("void", PREFIX + call.kernel, *map(self._at, call.arguments)))

    def _copy(self, copy: Copy) -> list[tirx.Stmt]:
        """Copy byte by byte, which LLVM recognizes."""
        pointer, start = self._base(copy.source)
        source = tirx.decl_buffer((start + copy.size,), "uint8", data=pointer)
        filled = tirx.decl_buffer((copy.size,), "uint8", data=self._outputs[copy.output])
        index = tirx.Var("index", "int32")
        store = tirx.BufferStore(filled, tirx.BufferLoad(source, [index + start]), [index])
        return [
            tirx.DeclBuffer(source, data=pointer),
            tirx.DeclBuffer(filled, data=self._outputs[copy.output]),
            tirx.For(index, 0, copy.size, tirx.ForKind.SERIAL, store),
        ]

    def _at(self, place: Place) -> tirx.Expr:
        pointer, offset = self._base(place)
        if not offset:
            return pointer
        return tirx.call_intrin("handle", "tirx.handle_add_byte_offset", pointer, tirx.IntImm("int32", offset))

    def _base(self, place: Place) -> tuple[tirx.Var, int]:
        """Return the parameter that a place lies in, and the byte of it."""
        if place.space is Space.ARENA:
            return self._arena, place.offset
        if place.space is Space.WEIGHT:
            return self._weights, self.places[place.index]
        return (self._inputs if place.space is Space.INPUT else self._outputs)[place.index], place.offset
