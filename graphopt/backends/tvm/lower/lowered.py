"""A lowered value, and the state of one lowering: which value became which expression in which layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
import tvm
from tvm import relax, te, topi

from graphopt.backends.tvm.bfloat16 import round_array
from graphopt.backends.tvm.kernels import JOIN
from graphopt.backends.tvm.lower.affine import BYTES, Affine, byte_of, offset_to, spread, te_dequantize, te_shift
from graphopt.backends.tvm.lower.channels import Assembly, ChannelPlan
from graphopt.backends.tvm.lower.known import known
from graphopt.backends.tvm.lower.layout import (
    PLAIN,
    Layout,
    cuts_memory,
    pack_array,
    te_join_blocks,
    te_pack,
    te_round,
    te_unpack,
    te_widen,
)
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import dtype_of, literal, shape_of
from graphopt.targets import Target
from graphopt.tensors import Array

_SUMS = "int32"
"""What sums of products of integers are held as."""


@dataclass(frozen=True)
class Lowered:
    """An expression and the layout in which it holds its value.

    Attributes:
        expr: the value, or the integers that stand for it.
        shape: the logical (ONNX) one.
        layout: how its elements are arranged.
        affine: what the integers stand for; None where the expression is the value itself.

    """

    expr: relax.Expr
    shape: tuple[int, ...]
    layout: Layout = PLAIN
    affine: Affine | None = None

    @property
    def dtype(self) -> str:
        """That of the expression."""
        return str(self.expr.ty.dtype)


class Lowering:
    """Turns nodes into bindings of one Relax function.

    A value is asked for in the layout that its reader wants; a conversion is emitted once a value and
    layout. Constants are converted at compile time. What the plan of channels leaves without code is put together
    where it is asked for. So are real numbers that are held as integers, for each reader anew, which computes them in
    its own kernel.
    """

    def __init__(self, target: Target, plan: ChannelPlan) -> None:
        self.builder = relax.BlockBuilder()
        self.target = target
        self.lanes = target.lanes()
        self.byte = byte_of(target)
        self._plan = plan
        self._values: dict[ir.Value, Lowered] = {}
        self._constants: dict[tuple[ir.Value, Layout], relax.Expr] = {}
        self._converted: dict[tuple[relax.Expr, Layout], relax.Expr] = {}
        self._ages: dict[relax.Expr, int] = {}
        self._shifted: dict[relax.Expr, relax.Expr] = {}

    def define(self, value: ir.Value, lowered: Lowered) -> None:
        """Record what a value became."""
        self._values[value] = lowered
        self._ages.setdefault(lowered.expr, len(self._ages))

    def layout(self, value: ir.Value) -> Layout:
        """Return the order of axes in which a value exists already; `PLAIN` for a constant."""
        lowered = self._find(value)
        return PLAIN if lowered is None else replace(lowered.layout, rounded=False)

    def result_layout(self, value: ir.Value) -> Layout:
        """Return the blocked layout that a value shall have where its producer can give it any order of channels."""
        return Layout(self.lanes, self._plan.slots.get(value, ()))

    def plain(self, value: ir.Value) -> relax.Expr:
        """Return a value in ONNX's order of axes."""
        return self.in_layout(value, PLAIN)

    def blocked(self, value: ir.Value) -> relax.Expr:
        """Return a value of shape [N, C, *S] in blocks of `lanes` channels."""
        return self.in_layout(value, Layout(self.lanes))

    def in_layout(self, value: ir.Value, layout: Layout) -> relax.Expr:
        """Return a value in a layout."""
        lowered = self._find(value)
        if lowered is not None:
            return self._shown(lowered, layout, dtype_of(value))
        key = value, layout
        if key not in self._constants:
            self._constants[key] = self._constant(value, layout)
        return self._constants[key]

    def held(self, value: ir.Value | None) -> Lowered | None:
        """Return a value of real numbers as the integers that stand for it, None where there are none."""
        lowered = None if value is None else self._find(value)
        return lowered if lowered is not None and lowered.affine is not None else None

    def lowered(self, value: ir.Value) -> Lowered:
        """Return a value as it exists already, in its own numbers or the integers that stand for them."""
        lowered = self._find(value)
        if lowered is not None and not lowered.layout.rounded:
            return lowered
        return Lowered(self.in_layout(value, self.layout(value)), shape_of(value), self.layout(value))

    def store_but_last(self, values: Sequence[ir.Value]) -> None:
        """Store the integers of values that are read together, but for the sums that were made last.

        A kernel of sums goes on to its results' integers and what these stand for, in one of them: the others are
        finished beforehand, and would otherwise be stored as the real numbers that are read. Where there are no sums,
        what was made last stays.
        """
        held = {value: lowered for value in values if (lowered := self.held(value)) is not None}
        ages = {value: (lowered.dtype == _SUMS, self._ages.get(lowered.expr, -1)) for value, lowered in held.items()}
        for value, lowered in held.items():
            if ages[value] < max(ages.values()) and isinstance(lowered.expr, relax.DataflowVar):
                self._values[value] = replace(lowered, expr=self.store(lowered.expr))

    def arranged(self, lowered: Lowered, layout: Layout) -> relax.Expr:
        """Return what a lowered value is held as in a layout."""
        if lowered.layout == layout:
            return lowered.expr
        key = lowered.expr, layout
        if key not in self._converted:
            self._converted[key] = self._convert(lowered, layout)
        return self._converted[key]

    def as_bytes(self, lowered: Lowered) -> Lowered:
        """Return a value that is held in 8 bits as those that the target multiplies."""
        affine, dtype = lowered.affine, lowered.dtype
        if affine is None or dtype not in BYTES or dtype == self.byte:
            return lowered
        if lowered.expr not in self._shifted:
            self._shifted[lowered.expr] = self.kernel("shift", lambda source: te_shift(source, self.byte), lowered.expr)
        shifted = affine.shifted(offset_to(self.byte, dtype))
        return replace(lowered, expr=self._shifted[lowered.expr], affine=shifted)

    def real(self, lowered: Lowered, dtype: str) -> Lowered:
        """Return a value itself, computed from the integers that it is held as; `dtype` is its own."""
        affine, layout = lowered.affine, lowered.layout
        if affine is None:
            return lowered
        if affine.scale.ndim:
            scale = spread(affine.scale, affine.axis, len(lowered.shape), layout)
            expr = self.kernel("dequantize", lambda q, s: te_dequantize(q, s, affine, dtype), lowered.expr, scale)
        else:
            number = float(affine.scale)
            expr = self.kernel("dequantize", lambda q: te_dequantize(q, number, affine, dtype), lowered.expr)
        return replace(lowered, expr=expr, affine=None)

    def rounded(self, lowered: Lowered) -> Lowered:
        """Return a value of float32 rounded, its axes as they are."""
        layout = replace(lowered.layout, rounded=True)
        return replace(lowered, expr=self.kernel("round", te_round, lowered.expr), layout=layout)

    def _widened(self, lowered: Lowered) -> Lowered:
        layout = replace(lowered.layout, rounded=False)
        return replace(lowered, expr=self.kernel("widen", te_widen, lowered.expr), layout=layout)

    def pack(self, expr: relax.Expr, layout: Layout) -> relax.Var:
        """Bring an expression of shape [N, C, *S] in ONNX's order of axes into a blocked layout."""
        if layout.slots:
            expr = self._take_channels(expr, [max(channel, 0) for channel in layout.slots])
        return self.kernel("pack", lambda source: te_pack(source, layout.lanes), expr)

    def channels(self, value: ir.Value, rank: int, layout: Layout) -> relax.Expr:
        """Return a constant of one number a channel so that it broadcasts over a value of rank `rank`.

        Raises:
            RefusalError: the value is no constant.

        """
        array = known(value)
        if array is None:
            raise RefusalError(f"{value.name!r} is no constant")
        ones = (1,) * (rank - 2)
        column = array.reshape(1, -1, *ones)
        return literal(pack_array(column, layout) if layout.is_blocked else column)

    def emit(self, expr: relax.Expr) -> relax.Var:
        """Bind an expression to a variable; a variable stays, since Relax fuses nothing across a second name."""
        return expr if isinstance(expr, relax.Var) else self.builder.emit(expr)

    def store(self, expr: relax.Expr) -> relax.Var:
        """Bind an expression across which no kernels are fused: its value is stored."""
        return self.builder.emit_output(expr)

    def join(self, parts: Sequence[relax.Expr], axis: int) -> relax.Var:
        """Bind the concatenation of parts; where they cut memory, by a kernel that its planning can leave out."""
        shapes = [tuple(int(extent) for extent in part.ty.shape) for part in parts]
        bound = all(isinstance(part, relax.Var) for part in parts)
        if not bound or not cuts_memory(shapes, axis, str(parts[0].ty.dtype)):
            return self.emit(relax.op.concat(list(parts), axis))
        joined = self.builder.emit_te(
            topi.concatenate,
            [self.store(part) for part in parts],
            axis,
            primfunc_name_hint="concatenate",
            primfunc_attrs={JOIN: 1},
        )
        return self.store(joined)

    def kernel(self, name: str, compute: Callable[..., te.Tensor], *arguments: relax.Expr | Array) -> relax.Var:
        """Bind a call of a kernel that `compute` describes in TE; arrays become constants."""
        exprs = [self.weights(a) if isinstance(a, np.ndarray) else a for a in arguments]
        return self.builder.emit_te(compute, *exprs, primfunc_name_hint=name)

    def weights(self, array: Array) -> relax.Expr:
        """Return what a kernel reads of an array that is known."""
        return literal(array)

    def _constant(self, value: ir.Value, layout: Layout) -> relax.Expr:
        array = known(value)
        if array is None:
            raise RefusalError(f"{value.name!r} is neither an input of the region nor made in it")
        dtype_of(value)
        if layout.rounded:
            array = round_array(array)
        return literal(pack_array(array, layout) if layout.is_blocked else array)

    def _shown(self, lowered: Lowered, layout: Layout, dtype: str) -> relax.Expr:
        if lowered.affine is None:
            return self.arranged(lowered, layout)
        stored = replace(layout, rounded=False)
        moved = self.real(replace(lowered, expr=self.arranged(lowered, stored), layout=stored), dtype)
        return self.arranged(moved, layout)

    def _convert(self, lowered: Lowered, layout: Layout) -> relax.Expr:
        if layout.rounded and not lowered.layout.rounded:
            lowered = self.rounded(lowered)
        if lowered.layout.rounded and not layout.rounded:
            lowered = self._widened(lowered)
        if layout == lowered.layout:
            return lowered.expr
        expr, channels, own = lowered.expr, lowered.shape[1], lowered.layout
        if own.is_blocked:
            stored = len(own.slots) or channels
            expr = self.kernel("unpack", lambda source: te_unpack(source, stored), expr)
        if own.slots:
            expr = self._take_channels(expr, own.places(channels))
        return self.pack(expr, layout) if layout.is_blocked else expr

    def _take_channels(self, expr: relax.Expr, channels: Sequence[int]) -> relax.Var:
        indices = self.emit(literal(np.asarray(channels, np.int64)))
        return self.emit(relax.op.take(expr, indices, 1, mode="clip"))  # see `shaping.lower_gather` on the mode

    def _find(self, value: ir.Value) -> Lowered | None:
        assembly = self._plan.assemblies.get(value)
        if value not in self._values and assembly is not None:
            layout = Layout(self.lanes, assembly.slots)
            self._values[value] = Lowered(self._assemble(assembly), shape_of(value), layout)
        return self._values.get(value)

    def _assemble(self, assembly: Assembly) -> relax.Expr:
        sources = [self.in_layout(value, self.result_layout(value)) for value, _, _ in assembly.parts]
        runs = [(first, end) for _, first, end in assembly.parts]
        whole = [(0, int(source.ty.shape[1])) for source in sources]
        if runs != whole:
            return self.kernel("join_blocks", lambda *parts: te_join_blocks(parts, runs), *sources)
        return sources[0] if len(sources) == 1 else self.join(sources, 1)


def tensor_type(value: ir.Value) -> tvm.ir.Type:
    """Return the Relax type of a value in ONNX's order of axes."""
    return relax.TensorType(shape_of(value), dtype_of(value))


Emitter = Callable[[Lowering, ir.Node], list[Lowered]]
EmitterTable = Mapping[str, Emitter]
