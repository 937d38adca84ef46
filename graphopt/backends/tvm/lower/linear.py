"""Gemm and MatMul with a constant right-hand side: rows times packed weights.

    Y[m, o, l] = Σ_k X[m, k] · W[o, k, l]       with n = o · lanes + l

The weights are packed at compile time in panels of `lanes` columns, so that one step of k reads one vector. Where
products take bfloat16 (`precision`), X is rounded and k counts pairs: X[m, 2 k + j] · W[o, k, l, j], summed over j too.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from tvm import relax, te, tirx, topi

from graphopt.backends.tvm.bfloat16 import PAIR, STORED, pack_pairs, widened
from graphopt.backends.tvm.kernels import Kernel, mark
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.layout import Layout, pad_axis
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.precision import multiplies_rounded
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.ir.constants import constant
from graphopt.tensors import Array


def lower_gemm(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower α·A·B + β·C (ONNX operator spec, Gemm-13) where B is constant and A is not transposed."""
    left, right, *bias = node.inputs
    weights = constant(right)
    if left is None or weights is None or node.attributes.get_int("transA", 0) != 0 or dtype_of(left) != "float32":
        return importer.convert(lowering, node)
    if node.attributes.get_int("transB", 0) != 0:
        weights = weights.T
    alpha = node.attributes.get_float("alpha", 1.0)
    scaled = weights if alpha == 1.0 else np.asarray(weights, np.float32) * np.float32(alpha)
    layout = Layout(rounded=multiplies_rounded(node, lowering.target))
    result = _rows_times_panels(lowering, lowering.in_layout(left, layout), scaled)
    if bias and bias[0] is not None:
        beta = node.attributes.get_float("beta", 1.0)
        addend = lowering.plain(bias[0])
        if beta != 1.0:
            addend = lowering.emit(relax.op.multiply(addend, relax.const(beta, "float32")))
        result = lowering.emit(relax.op.add(result, addend))
    return [Lowered(result, shape_of(node.outputs[0]))]


def lower_matmul(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower A·B (ONNX operator spec, MatMul-13) where B is a constant matrix; any other goes through the importer."""
    left, right = node.inputs
    weights = constant(right)
    if left is None or weights is None or weights.ndim != 2 or dtype_of(left) != "float32" or not shape_of(left)[:-1]:
        return importer.convert(lowering, node)
    depth, columns = weights.shape
    shape = shape_of(left)
    rows = math.prod(shape[:-1])
    flat = lowering.in_layout(left, Layout(rounded=multiplies_rounded(node, lowering.target)))
    if len(shape) != 2:
        flat = lowering.emit(relax.op.reshape(flat, (rows, depth)))
    result = _rows_times_panels(lowering, flat, weights)
    if len(shape) != 2:
        result = lowering.emit(relax.op.reshape(result, (*shape[:-1], columns)))
    return [Lowered(result, shape_of(node.outputs[0]))]


def _rows_times_panels(lowering: Lowering, rows: relax.Expr, weights: Array) -> relax.Expr:
    depth, columns = weights.shape
    lanes = lowering.lanes
    panels = np.ascontiguousarray(pad_axis(weights.T, 0, lanes).reshape(-1, lanes, depth).transpose(0, 2, 1))
    if rows.ty.dtype == STORED:
        panels = pack_pairs(pad_axis(panels, 1, PAIR))

    def compute(left: te.Tensor, right: te.Tensor) -> te.Tensor:
        return te_dense(left, right, columns)

    return lowering.kernel("dense", compute, rows, panels)


def te_dense(left: te.Tensor, right: te.Tensor, columns: int) -> te.Tensor:
    """Describe [M, K] × panels [N / lanes, K, lanes] → [M, N], N cut to `columns`.

    Rounded rows come with panels in pairs, [N / lanes, ceil(K / 2), lanes, 2].
    """
    count = int(left.shape[0])
    panels, depth, lanes, *pair = (int(extent) for extent in right.shape)
    k = te.reduce_axis((0, depth), "k")
    j = te.reduce_axis((0, PAIR), "j")
    rows = topi.nn.pad(left, [0, 0], [0, depth * PAIR - int(left.shape[1])]) if pair else left

    def product(m: tirx.Var, o: tirx.Var, lane: tirx.Var) -> tirx.Expr:
        if pair:
            return te.sum(widened(rows(m, k * PAIR + j)) * widened(right(o, k, lane, j)), axis=[k, j])
        return te.sum(rows(m, k) * right(o, k, lane), axis=k)

    blocked = te.compute((count, panels, lanes), product, name="dense", attrs=mark(Kernel.DENSE))
    return te.compute((count, columns), lambda m, n: blocked(m, n // lanes, n % lanes), name="rows")
