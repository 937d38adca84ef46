"""Resize and Upsample (ONNX operator spec), nearest and linear, in the layout of their input.

    Y[t₀, t₁, …] = Σ_{j₀} w₀[t₀, j₀] · Σ_{j₁} w₁[t₁, j₁] · … X[p₀[t₀, j₀], p₁[t₁, j₁], …]

`sampling` makes the places p and the weights w of each axis that changes. They are constants of the kernel, but for
places that repeat each input, which are a division. Blocks of channels are read and written as they are.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence

import onnx_ir as ir
from tvm import te, tirx

from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.layout import PLAIN
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.sampling import Sampling, samplings_of
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.tensors import Array

_Tap = tuple[tirx.Expr, tirx.Expr | None]
"""A place, and its weight unless it is the only one."""
_WEIGHTED = frozenset({"float32", "float64"})
"""Dtypes in which inputs are weighted; others have roundings of their own."""


def lower_resize(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a Resize of constant scales or sizes; what `sampling` refuses goes through the importer."""
    data = node.inputs[0]
    try:
        samplings = samplings_of(node)
    except RefusalError:
        return importer.convert(lowering, node)
    weighted = any(sampling.places.shape[1] > 1 for sampling in samplings)
    if data is None or (weighted and dtype_of(data) not in _WEIGHTED):
        return importer.convert(lowering, node)
    in_place = len(samplings) > 2 and samplings[0].is_identity and samplings[1].is_identity
    layout, shape = lowering.layout(data) if in_place else PLAIN, shape_of(node.outputs[0])
    source = lowering.in_layout(data, layout)
    if all(sampling.is_identity for sampling in samplings):
        return [Lowered(source, shape, layout)]
    tables = [table for sampling in samplings for table in _tables(sampling, dtype_of(data))]

    def compute(source: te.Tensor, *tables: te.Tensor) -> te.Tensor:
        return te_resize(source, tables, samplings, layout.shape(shape))

    return [Lowered(lowering.kernel("resize", compute, source, *tables), shape, layout)]


def _tables(sampling: Sampling, dtype: str) -> list[Array]:
    """Return what a kernel has to look up of an axis: nothing, the places, or also the weights."""
    if sampling.repeats:
        return []
    if sampling.places.shape[1] == 1:
        return [sampling.places]
    return [sampling.places, sampling.weights.astype(dtype)]


def te_resize(
    source: te.Tensor, tables: Sequence[te.Tensor], samplings: Sequence[Sampling], shape: tuple[int, ...]
) -> te.Tensor:
    """Describe the kernel; `tables` are those of the axes, in order, `shape` is the stored result's."""
    left = iter(tables)
    axes = [_taps(sampling, left) for sampling in samplings]

    def element(*position: tirx.Var) -> tirx.Expr:
        def value(*at: tirx.Expr) -> tirx.Expr:
            axis = len(at)
            if axis == len(axes):
                return source(*at, *position[axis:])
            terms = [
                value(*at, place) if weight is None else value(*at, place) * weight
                for place, weight in axes[axis](position[axis])
            ]
            return functools.reduce(operator.add, terms)

        return value()

    return te.compute(shape, element, name="resize")


def _taps(sampling: Sampling, tables: Iterator[te.Tensor]) -> Callable[[tirx.Var], list[_Tap]]:
    """Return what an output along an axis reads, and the weight of each, as expressions of its place."""
    if repeats := sampling.repeats:
        return lambda t: [(t // repeats, None)]
    count, places = sampling.places.shape[1], next(tables)
    if count == 1:
        return lambda t: [(places(t, 0), None)]
    weights = next(tables)
    return lambda t: [(places(t, tap), weights(t, tap)) for tap in range(count)]
