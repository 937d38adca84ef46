"""Gemm and MatMul with a constant right-hand side: rows times packed weights.

    Y[m, o, l] = Σ_k X[m, k] · W[o, k, l]       with n = o · lanes + l

The weights are packed at compile time in panels of `lanes` columns, so that one step of k reads one vector. Where
products take bfloat16 (`precision`), X is rounded and k counts pairs: X[m, 2 k + j] · W[o, k, l, j], summed over j too;
where X is held as integers and W is known in such (`integer_products`), k counts quads, and Y is held as their sums.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from tvm import relax, te, tirx, topi

from graphopt.backends.tvm.bfloat16 import STORED, round_array
from graphopt.backends.tvm.kernels import Kernel, mark
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.integer_products import IntegerProducts, in_bytes, integer_products
from graphopt.backends.tvm.lower.known import known
from graphopt.backends.tvm.lower.layout import PLAIN, Layout, pad_axis
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.precision import multiplies_rounded
from graphopt.backends.tvm.lower.rounding import round_weights
from graphopt.backends.tvm.lower.types import dtype_of, literal, shape_of
from graphopt.backends.tvm.narrow import NARROW, group_depth
from graphopt.tensors import Array


def lower_gemm(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower α·A·B + β·C (ONNX operator spec, Gemm-13) where B is constant and A is not transposed."""
    left, right, *bias = node.inputs
    weights = known(right)
    if left is None or weights is None or node.attributes.get_int("transA", 0) != 0 or dtype_of(left) != "float32":
        return importer.convert(lowering, node)
    if node.attributes.get_int("transB", 0) != 0:
        weights = weights.T
    if (integers := _integer_gemm(lowering, node)) is not None:
        return [integers]
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


def _integer_gemm(lowering: Lowering, node: ir.Node) -> Lowered | None:
    """Lower A·B + C of integers, None where it is to be computed in floats."""
    transposed = node.attributes.get_int("transB", 0) != 0
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    scaled = {node.attributes.get_float("alpha", 1.0), 1.0 if bias is None else node.attributes.get_float("beta", 1.0)}
    products = integer_products(lowering, node, axis=0 if transposed else 1)
    if products is None or scaled != {1.0}:
        return None
    return _integer_rows(lowering, products, products.weights.T if transposed else products.weights, bias)


def lower_matmul(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower A·B (ONNX operator spec, MatMul-13) where B is a constant matrix; any other goes through the importer."""
    left, right = node.inputs
    weights = known(right)
    if left is None or weights is None or weights.ndim != 2 or dtype_of(left) != "float32" or not shape_of(left)[:-1]:
        return importer.convert(lowering, node)
    if (products := integer_products(lowering, node, axis=1)) is not None:
        return [_integer_rows(lowering, products, products.weights, None)]
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
    """Multiply float32, rounded or int8 weights [K, N] with rows of their kind."""
    depth, columns = weights.shape
    lanes, dtype = lowering.lanes, STORED if rows.ty.dtype == STORED else str(weights.dtype)
    by_column = round_weights(weights.T) if dtype == STORED else weights.T
    panels = pad_axis(by_column, 0, lanes).reshape(-1, lanes, depth).transpose(0, 2, 1)
    if dtype == STORED:
        panels = round_array(panels)
    if dtype in NARROW:
        together = NARROW[dtype].together
        panels = group_depth(pad_axis(panels, 1, together), together)

    def compute(left: te.Tensor, right: te.Tensor) -> te.Tensor:
        return te_dense(left, right, columns)

    return lowering.kernel("dense", compute, rows, panels)


def _integer_rows(lowering: Lowering, products: IntegerProducts, weights: Array, bias: ir.Value | None) -> Lowered:
    """Multiply rows that are held as integers with weights [K, N], and add a bias of N."""
    rows, (depth, columns) = products.data, weights.shape
    flat, shape = lowering.arranged(rows, PLAIN), (*rows.shape[:-1], columns)
    if len(rows.shape) != 2:
        flat = lowering.emit(relax.op.reshape(flat, (math.prod(rows.shape[:-1]), depth)))
    parts = [_rows_times_panels(lowering, flat, part) for part in in_bytes(weights)]
    known_bias = products.bias(bias)
    correction = (0 if known_bias is None else known_bias) - products.zero_point * weights.sum(0)
    addend = literal(correction.astype(np.int32).reshape(1, -1))
    total = functools.reduce(lambda left, right: lowering.emit(relax.op.add(left, right)), [*parts, addend])
    if len(rows.shape) != 2:
        total = lowering.emit(relax.op.reshape(total, shape))
    sums = Lowered(total, shape, PLAIN, products.sums(axis=len(shape) - 1))
    if known_bias is not None or bias is None:
        return sums
    real = lowering.real(sums, "float32")
    return replace(real, expr=lowering.emit(relax.op.add(real.expr, lowering.plain(bias))))


def te_dense(left: te.Tensor, right: te.Tensor, columns: int) -> te.Tensor:
    """Describe [M, K] × panels [N / lanes, K, lanes] → [M, N], N cut to `columns`.

    Narrow rows come with panels whose neighbours are grouped, [N / lanes, ceil(K / 2), lanes, 2], or 4.
    """
    count, narrow = int(left.shape[0]), NARROW.get(str(right.dtype))
    panels, depth, lanes, *group = (int(extent) for extent in right.shape)
    together = math.prod(group)
    k = te.reduce_axis((0, depth), "k")
    rows = left
    if narrow is not None and depth * together > int(left.shape[1]):
        rows = topi.nn.pad(left, [0, 0], [0, depth * together - int(left.shape[1])])

    def product(m: tirx.Var, o: tirx.Var, lane: tirx.Var) -> tirx.Expr:
        if narrow is not None:
            j = te.reduce_axis((0, together), "j")
            factors = rows(m, k * together + j), right(o, k, lane, j)
            return te.sum(narrow.widen(factors[0]) * narrow.widen(factors[1]), axis=[k, j])
        return te.sum(rows(m, k) * right(o, k, lane), axis=k)

    blocked = te.compute((count, panels, lanes), product, name="dense", attrs=mark(Kernel.DENSE))
    return te.compute((count, columns), lambda m, n: blocked(m, n // lanes, n % lanes), name="rows")
