"""QuantizeLinear and DequantizeLinear (ONNX operator spec, version 21) of constant scales and zero points.

DequantizeLinear of one scale computes nothing: its result is held as the integers that it reads. QuantizeLinear makes
integers of real numbers, or of those that another value is held as: of sums of products with the one ratio of scales
that QLinearConv and QLinearMatMul are defined by, and of the very numbers that it would make nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx_ir as ir
from tvm import relax

from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.affine import (
    BYTES,
    UNIT,
    Affine,
    Grid,
    offset_to,
    spread,
    te_quantize,
    te_requantize,
)
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.table import function_of_bytes, te_look_up
from graphopt.backends.tvm.lower.types import dtype_of, literal, shape_of
from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.tensors import Array

_WIDEST = 16
"""Bits of integers that float32 rounds as ONNX says, whatever the number."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """What a QuantizeLinear or DequantizeLinear says: one scale and zero point for all, or one an index of an axis.

    Attributes:
        scale: float32.
        zero_point: of any integer type.
        axis: along which they lie.
        dtype: of the integers.

    """

    scale: Array
    zero_point: Array
    axis: int
    dtype: str

    def is_same(self, other: Parameters) -> bool:
        """Whether equal integers stand for equal numbers."""
        return (
            (self.axis, self.dtype) == (other.axis, other.dtype)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


def lower_dequantize(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Hold the result as the integers that are read; with a scale a channel, or 32 bits, compute it."""
    data, (result,) = node.inputs[0], node.outputs
    if data is None or dtype_of(result) != "float32":
        raise RefusalError("it makes other numbers than float32")
    parameters, source = _parameters(node, dtype_of(data)), lowering.lowered(data)
    shift = 0 if source.affine is None else source.affine.zero_point
    if parameters.scale.ndim == 0:
        held = replace(source, affine=Affine(parameters.scale, int(parameters.zero_point) + shift))
        return [held if np.iinfo(dtype_of(data)).bits <= _WIDEST else lowering.real(held, "float32")]
    zeros = spread(parameters.zero_point.astype(np.int32) + shift, parameters.axis, len(source.shape), source.layout)
    centred = lowering.emit(relax.op.subtract(relax.op.astype(source.expr, "int32"), literal(zeros)))
    affine = Affine(parameters.scale, axis=parameters.axis)
    return [lowering.real(replace(source, expr=centred, affine=affine), "float32")]


def lower_quantize(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Make integers of 8 or 16 bits, those of 8 in the form that is multiplied."""
    data, (result,) = node.inputs[0], node.outputs
    dtype = dtype_of(result)
    if data is None or dtype_of(data) != "float32" or np.iinfo(dtype).bits > _WIDEST:
        raise RefusalError("it is not of float32, or of integers wider than 16 bits")
    parameters = _parameters(node, dtype)
    if parameters.scale.ndim:
        raise RefusalError("it has a scale for each channel")
    if (function := function_of_bytes(lowering, data)) is not None:
        return [_looked_up(lowering, *function, parameters)]
    return [quantized(lowering, lowering.lowered(data), parameters)]


def _looked_up(lowering: Lowering, source: Lowered, results: Array, parameters: Parameters) -> Lowered:
    """Return the integers of a function of bytes, given its results for each."""
    offset, kind = _offset(lowering, parameters.dtype), np.iinfo(parameters.dtype)
    whole = np.rint(np.divide(results, parameters.scale)) + int(parameters.zero_point)
    dtype = lowering.byte if parameters.dtype in BYTES else parameters.dtype
    table = (np.nan_to_num(np.clip(whole, kind.min, kind.max)) + offset).astype(dtype)
    expr = lowering.kernel("look_up", te_look_up, source.expr, table)
    return replace(source, expr=expr, affine=Affine(UNIT, offset) if offset else None)


def lower_cast(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Cast; whole numbers that are held as int32 already are what was asked for."""
    held = lowering.held(node.inputs[0])
    if held is not None and held.dtype == dtype_of(node.outputs[0]) and Affine(UNIT).is_same(held.affine):
        return [replace(held, affine=None)]
    return importer.convert(lowering, node)


def quantized(lowering: Lowering, source: Lowered, parameters: Parameters) -> Lowered:
    """Return the integers that stand for a value of float32, as those that they are held as; there is one scale."""
    offset = _offset(lowering, parameters.dtype)
    return replace(held_on_grid(lowering, source, parameters), affine=Affine(UNIT, offset) if offset else None)


def held_on_grid(lowering: Lowering, source: Lowered, parameters: Parameters) -> Lowered:
    """Return a value of float32 held as the integers that it is quantized to; there is one scale."""
    scale, zero_point, dtype = parameters.scale, int(parameters.zero_point), parameters.dtype
    offset = _offset(lowering, dtype)
    stored = lowering.byte if dtype in BYTES else dtype
    affine, held = source.affine, Affine(scale, zero_point + offset)
    if held.is_same(affine) and source.dtype == stored:
        return source
    grid = Grid(zero_point, *_limits(parameters, affine), offset, stored)
    if affine is not None and source.dtype == "int32":
        expr = _requantized(lowering, source, affine, np.divide(affine.scale, scale), grid)
    else:
        real, divisor, fused = lowering.real(source, "float32"), float(scale), lowering.target.fma
        expr = lowering.kernel("quantize", lambda x: te_quantize(x, divisor, grid, fused=fused), real.expr)
    return replace(source, expr=expr, affine=held)


def parameters_of_readers(value: ir.Value) -> Parameters | None:
    """Return how all who read a value of float32 quantize it; None if they differ, or one does something else."""
    nodes = value.consumers()
    if value.is_graph_output() or not nodes or not all(is_op(node, "QuantizeLinear") for node in nodes):
        return None
    try:
        first, *others = [_parameters(node, dtype_of(node.outputs[0])) for node in nodes]
    except RefusalError:
        return None
    fits = first.scale.ndim == 0 and np.iinfo(first.dtype).bits <= _WIDEST and all(map(first.is_same, others))
    return first if fits else None


def _offset(lowering: Lowering, dtype: str) -> int:
    return offset_to(lowering.byte, dtype) if dtype in BYTES else 0


def _requantized(lowering: Lowering, source: Lowered, affine: Affine, ratio: Array, grid: Grid) -> relax.Expr:
    requantize = partial(te_requantize, zero_point=affine.zero_point, grid=grid, shrinks=bool(np.less(ratio, 1).all()))
    if ratio.ndim == 0:
        return lowering.kernel("requantize", lambda q: requantize(q, float(ratio)), source.expr)
    ratios = spread(ratio, affine.axis, len(source.shape), source.layout)
    return lowering.kernel("requantize", requantize, source.expr, ratios)


def _limits(parameters: Parameters, affine: Affine | None) -> tuple[int, int]:
    """Return the smallest and the largest integer: those of a dtype, or of the bounds of what is quantized."""
    kind = np.iinfo(parameters.dtype)
    limits = (-np.inf, np.inf) if affine is None else (affine.low, affine.high)
    whole = np.rint(np.divide(np.asarray(limits, np.float32), parameters.scale)) + int(parameters.zero_point)
    low, high = np.clip(whole, kind.min, kind.max)
    return int(low), int(high)


def _parameters(node: ir.Node, dtype: str) -> Parameters:
    """Read the scale and the zero point; raises RefusalError where kernels do not know them beforehand."""
    scale = constant(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero_point = np.zeros((), np.int32) if given is None else constant(given)
    if scale is None or zero_point is None:
        raise RefusalError("its scale and zero point are not constant")
    if scale.dtype != np.float32 or node.attributes.get_int("block_size", 0) != 0:
        raise RefusalError("its scale is not float32, or one for each block")
    if scale.size == 1 and float(scale.reshape(())) <= 0:
        raise RefusalError("its scale is not positive")
    if scale.size == zero_point.size == 1:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    if zero_point.size not in {1, scale.size}:
        raise RefusalError("it has a zero point for each channel, and one scale")
    rank = len(shape_of(node.outputs[0]))
    axis = node.attributes.get_int("axis", 1) % max(1, rank) if scale.ndim else 0
    return Parameters(scale, np.broadcast_to(zero_point, scale.shape), axis, dtype)
