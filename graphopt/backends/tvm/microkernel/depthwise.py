"""A depthwise convolution from bytes to bytes: the loops around its step (`depthwise_step`).

A task copies the rows that it reads to where they are padded, and then makes its rows, a step at a time. Steps do not
end where rows and columns do: the last ones lie over those before them, and make the same again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tvm import ir, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as build

from graphopt.backends.tvm.microkernel.depthwise_step import BYTES, COLUMNS, LANES, Step
from graphopt.backends.tvm.microkernel.taps import Place, Taps

_OPAQUE = 8
"""TVM's kind of operators that it fuses with no other."""


@dataclass(frozen=True)
class Depthwise:
    """One convolution.

    Attributes:
        inputs, outputs: their shapes: images, blocks of 16 channels, rows, columns.
        strides: of the window.
        begins: rows and columns of padding before the input.
        padding: the byte that it has.
        taps: what a step reads.
        chunk: rows of a task; they divide those of the output.
        zero_point: see `Step`.

    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    strides: tuple[int, ...]
    begins: tuple[int, ...]
    padding: int
    taps: Taps
    chunk: int
    zero_point: int

    @property
    def read_rows(self) -> int:
        """Return how many rows of inputs a task reads."""
        return (self.chunk - self.taps.rows) * self.strides[0] + max(row for row, _ in self._places) + 1

    @property
    def read_columns(self) -> int:
        """Return how many columns of inputs a row of outputs reads, or more where the input has more."""
        reach = (self.outputs[3] - 1) * self.strides[1] + max(column for _, column in self._places) + 1
        return max(reach, self.begins[1] + self.inputs[3])

    @property
    def _places(self) -> list[Place]:
        return [place for group in self.taps.groups for place in group]

    @property
    def step(self) -> Step:
        """Return the step for its shapes."""
        pitches = self.read_columns * LANES, self.outputs[3] * LANES
        return Step(self.taps, self.strides[1], pitches, self.zero_point)

    def function(self) -> tirx.PrimFunc:
        """Return the kernel (inputs, weights as `Taps.pack` makes them, biases, ratios, outputs)."""
        _, blocks, height, _ = self.outputs
        uses, step = sum(map(len, self.taps.uses)), self.step
        with IRBuilder() as builder, build.prim_func(s_tir=True):
            build.func_attr({"tirx.noalias": True, "op_pattern": _OPAQUE})
            x = build.arg("x", build.buffer((*self.inputs, LANES), "uint8"))
            w = build.arg("w", build.buffer((blocks, uses, LANES, 4), "int8"))
            bias = build.arg("bias", build.buffer((blocks, LANES), "int32"))
            ratio = build.arg("ratio", build.buffer((blocks, LANES), "float32"))
            y = build.arg("y", build.buffer((*self.outputs, LANES), "uint8"))
            chunks = height // self.chunk
            with build.parallel(0, self.outputs[0] * blocks * chunks) as task:
                image, block, first = task // chunks // blocks, task // chunks % blocks, task % chunks * self.chunk
                size = self.read_rows * self.read_columns * LANES + BYTES
                padded = build.alloc_buffer((size,), "uint8")
                build.buffer_store(padded, self.padding, [size - 1])  # TVM allots what it sees in use
                self._pad(x, padded, image, block, first * self.strides[0] - self.begins[0])
                with build.serial(0, -(-self.chunk // self.taps.rows)) as row_step:
                    row = tirx.min(row_step * self.taps.rows, self.chunk - self.taps.rows)
                    with build.serial(0, -(-self.outputs[3] // COLUMNS)) as column_step:
                        column = tirx.min(column_step * COLUMNS, self.outputs[3] - COLUMNS)
                        place = (row * self.strides[0] * self.read_columns + column * self.strides[1]) * LANES
                        pointers = (
                            padded[place],
                            w[block, 0, 0, 0],
                            bias[block, 0],
                            ratio[block, 0],
                            y[image, block, first + row, column, 0],
                        )
                        build.evaluate(tirx.call_extern("int32", step.name, *map(build.address_of, pointers)))
        made = builder.get()
        text = ir.StringImm(step.definition())
        return made.with_body(tirx.AttrStmt(tirx.const(0, "int32"), "pragma_import_llvm", text, made.body))

    def _pad(self, x: tirx.Buffer, padded: tirx.Buffer, image: tirx.Expr, block: tirx.Expr, first: tirx.Expr) -> None:
        """Copy the rows that a task reads, and put the padding around them."""
        _, blocks, height, width = self.inputs
        source = build.decl_buffer((math.prod(self.inputs) * LANES,), "uint8", data=x.data)
        pitch, begin, length = self.read_columns * LANES, self.begins[1] * LANES, width * LANES
        with build.serial(0, self.read_rows) as line:
            start, row = line * pitch, first + line
            with build.If(tirx.all(row >= 0, row < height)):
                with build.Then():
                    at = ((image * blocks + block) * height + row) * length
                    self._fill(padded, start, begin)
                    for place, count in _vectors(length):
                        copied = tirx.BufferLoad(source, [tirx.Ramp(at + place, 1, count)])
                        build.buffer_store(padded, copied, [tirx.Ramp(start + begin + place, 1, count)])
                    self._fill(padded, start + begin + length, pitch - begin - length)
                with build.Else():
                    self._fill(padded, start, pitch)

    def _fill(self, padded: tirx.Buffer, start: tirx.Expr, length: int) -> None:
        for place, count in _vectors(length):
            value = tirx.Broadcast(tirx.const(self.padding, "uint8"), count)
            build.buffer_store(padded, value, [tirx.Ramp(start + place, 1, count)])


def _vectors(length: int) -> Iterator[tuple[int, int]]:
    """Yield places and lengths of vectors, as wide as they are, that make up a length, a multiple of `LANES`."""
    whole = length // BYTES * BYTES
    yield from ((place, BYTES) for place in range(0, whole, BYTES))
    yield from ((place, LANES) for place in range(whole, length, LANES))
