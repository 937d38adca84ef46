"""Conv of 3 × 3 taps by Winograd's minimal filtering: fewer products, for some sums before and after.

The output is cut into tiles of m × m, each read from a tile of a × a inputs, a = m + 2. With the matrices of
`toom_cook`, ⊙ elementwise, and the products summed over the input channels c:

    Y = Aᵀ [ Σ_c (G W G ᵀ) ⊙ (Bᵀ X B) ] A

F(2 × 2) takes 16 products where direct convolution takes 36, F(4 × 4) 36 where it takes 144. What it costs in
accuracy is a few roundings more an output, amplified by the transforms. An infinity or a NaN of the input fills the
tiles that read it.

The weights U[o, e, s, c] = G W Gᵀ are transformed at compile time, or by two kernels where they are many: those of
F(4 × 4) are four times as many bytes to read from memory. Five more follow, see `schedule.winograd` for how they share
the caches:

    taps       T[o, c, e, s]  = Σ_r G[e, r] · W[o, c, r, s]
    weights    U[o, e, s, c]  = Σ_s G[s, ·] · T[o, c, e, ·]

    rows       R[c, t, e, s]  = Σ_r Bᵀ[e, r] · X[c, t · m + (r, s)]
    tiles      V[e, s, c, t]  = Σ_s Bᵀ[s, ·] · R[c, t, e, ·]
    products   M[e, s, o, t]  = Σ_c V[e, s, c, t] · U[o, e, s, c]
    columns    O[o, t, i, s]  = Σ_e Aᵀ[i, e] · M[e, s, o, t]
    conv       Y[o, t · m + (i, j)] = Σ_s Aᵀ[j, s] · O[o, t, i, s]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from tvm import te, tirx

from graphopt.backends.tvm.kernels import STORED, WEIGHTS, Kernel, mark
from graphopt.backends.tvm.lower.layout import Layout, pad_axis
from graphopt.backends.tvm.lower.toom_cook import Matrix, Transforms, transforms
from graphopt.backends.tvm.lower.window import Window
from graphopt.tensors import Array

TAPS = 3
_PACKED_RANK = 5
"""Of weights that are not transformed yet."""

_Term = Callable[[int], tirx.Expr]


def transform_weights(weights: Array, outputs: int, lanes: int) -> Array:
    """Bring weights [O, I, 3, 3] into [ceil(O / lanes), a · a, I in whole blocks, lanes], in double precision first."""
    matrix = np.array(transforms(outputs, TAPS).weights, np.float64)
    both = np.kron(matrix, matrix)
    padded = pad_axis(pad_axis(weights, 0, lanes), 1, lanes)
    channels = padded.shape[1]
    taps = padded.reshape(-1, lanes, channels, TAPS**2).transpose(0, 3, 2, 1)
    result = np.empty((len(taps), len(both), channels, lanes), weights.dtype)
    for block, made in zip(taps, result, strict=True):  # a block at a time fits a cache
        made[:] = (both @ np.ascontiguousarray(block, np.float64).reshape(TAPS**2, -1)).reshape(made.shape)
    return result


def pack_weights(weights: Array, lanes: int) -> Array:
    """Bring weights [O, I, 3, 3] into [ceil(O / lanes), I in whole blocks, 3, 3, lanes]."""
    padded = pad_axis(pad_axis(weights, 0, lanes), 1, lanes)
    return np.moveaxis(padded.reshape(-1, lanes, *padded.shape[1:]), 1, -1)


def te_winograd_conv(
    source: te.Tensor, packed: te.Tensor, window: Window, outputs: int, output_shape: tuple[int, ...]
) -> te.Tensor:
    """Describe the kernels; `source` is [N, C / v, H, W, v], `packed` by `transform_weights` or `pack_weights`."""
    made = transforms(outputs, TAPS)
    if len(packed.shape) == _PACKED_RANK:
        packed = _transform_weights(packed, made)
    grid = -(-output_shape[2] // outputs), -(-output_shape[3] // outputs)
    strips = _cut(source, window, grid, made)
    products = _sum_products(_transform_input(strips, made, grid[1]), packed)
    return _transform_output(products, made, grid, Layout(int(source.shape[-1])).shape(output_shape))


def _transform_weights(packed: te.Tensor, made: Transforms) -> te.Tensor:
    blocks, channels, *_, lanes = (int(extent) for extent in packed.shape)
    size = made.products

    def tap(o: tirx.Var, c: tirx.Var, e: tirx.Var, s: tirx.Var, v: tirx.Var) -> tirx.Expr:
        return _row_of(made.weights, e, _parity, lambda r: packed(o, c, r, s, v))

    taps = te.compute((blocks, channels, size, TAPS, lanes), tap, name="taps", attrs=STORED | WEIGHTS)

    def weight(o: tirx.Var, p: tirx.Var, c: tirx.Var, v: tirx.Var) -> tirx.Expr:
        return _row_of(made.weights, p % size, _parity, lambda s: taps(o, c, p // size, s, v))

    return te.compute((blocks, size * size, channels, lanes), weight, name="weights", attrs=STORED)


def _cut(source: te.Tensor, window: Window, grid: tuple[int, int], made: Transforms) -> te.Tensor:
    """Cut the input into one strip a row of tiles, padded so that each tile lies inside."""
    inputs = [int(extent) for extent in source.shape[2:4]]
    top, left = window.begins
    height, width = grid

    def element(c: tirx.Var, row: tirx.Var, r: tirx.Var, x: tirx.Var, v: tirx.Var) -> tirx.Expr:
        y = row % height * made.outputs + r
        inside = tirx.all(y >= top, y < top + inputs[0], x >= left, x < left + inputs[1])
        value = source(row // height, c, y - top, x - left, v)
        return tirx.if_then_else(inside, value, tirx.const(0, source.dtype))

    batch, blocks, *_, lanes = source.shape
    shape = (blocks, batch * height, made.products, width * made.outputs + TAPS - 1, lanes)
    return te.compute(shape, element, name="strips", attrs=STORED)


def _transform_input(strips: te.Tensor, made: Transforms, width: int) -> te.Tensor:
    blocks, height, size, _, lanes = (int(extent) for extent in strips.shape)
    step, count = made.outputs, height * width

    def row(c: tirx.Var, t: tirx.Var, e: tirx.Var, s: tirx.Var, v: tirx.Var) -> tirx.Expr:
        return _row_of(made.input, e, _parity, lambda r: strips(c, t // width, r, t % width * step + s, v))

    rows = te.compute((blocks, count, size, size, lanes), row, name="rows", attrs=STORED)

    def tile(p: tirx.Var, c: tirx.Var, t: tirx.Var, v: tirx.Var) -> tirx.Expr:
        return _row_of(made.input, p % size, _parity, lambda s: rows(c, t, p // size, s, v))

    return te.compute((size * size, blocks, count, lanes), tile, name="tiles", attrs=STORED)


def _sum_products(tiles: te.Tensor, packed: te.Tensor) -> te.Tensor:
    products, blocks, count, lanes = (int(extent) for extent in tiles.shape)
    block, channel = te.reduce_axis((0, blocks), "block"), te.reduce_axis((0, lanes), "c")

    def element(p: tirx.Var, o: tirx.Var, t: tirx.Var, v: tirx.Var) -> tirx.Expr:
        value = tiles(p, block, t, channel)
        return te.sum(value * packed(o, p, block * lanes + channel, v), axis=[block, channel])

    shape = (products, int(packed.shape[0]), count, lanes)
    return te.compute(shape, element, name="products", attrs=mark(Kernel.WINOGRAD))


def _transform_output(
    products: te.Tensor, made: Transforms, grid: tuple[int, int], shape: tuple[int, ...]
) -> te.Tensor:
    _, blocks, count, lanes = (int(extent) for extent in products.shape)
    step, size = made.outputs, made.products
    height, width = grid

    def column(o: tirx.Var, t: tirx.Var, i: tirx.Var, s: tirx.Var, v: tirx.Var) -> tirx.Expr:
        return _row_of(made.output, i, _opposites, lambda e: products(e * size + s, o, t, v))

    columns = te.compute((blocks, count, step, size, lanes), column, name="columns", attrs=STORED)

    def element(n: tirx.Var, o: tirx.Var, y: tirx.Var, x: tirx.Var, v: tirx.Var) -> tirx.Expr:
        t = (n * height + y // step) * width + x // step
        return _row_of(made.output, x % step, _opposites, lambda s: columns(o, t, y % step, s, v))

    return te.compute(shape, element, name="conv")


def _parity(column: int) -> int:
    """Tell apart the columns of Bᵀ, and of G: the rows of opposite numbers differ in the sign of every other one."""
    return column % 2


def _opposites(column: int) -> int:
    """Tell apart the columns of Aᵀ: those of opposite numbers are equal, or opposite themselves."""
    return (column + 1) // 2


def _row_of(matrix: Matrix, index: tirx.Expr, group: Callable[[int], int], term: _Term) -> tirx.Expr:
    """Return the product of a row of a matrix with a vector; the index is a constant once its loop is unrolled."""
    *others, chosen = (_product(row, group, term) for row in matrix)
    for number, product in reversed(list(enumerate(others))):
        chosen = tirx.Select(index == number, product, chosen)
    return chosen


def _product(row: Sequence[Fraction], group: Callable[[int], int], term: _Term) -> tirx.Expr:
    """Sum by groups, their leading factors drawn out: what rows have in common is then computed once."""
    groups: dict[int, list[int]] = {}
    for column in (column for column, factor in enumerate(row) if factor):
        groups.setdefault(group(column), []).append(column)
    total: tirx.Expr | None = None
    for columns in groups.values():
        lead = row[columns[-1]]
        part: tirx.Expr | None = None
        for column in reversed(columns):
            part = _added(part, row[column] / lead, term(column))
        total = _added(total, lead, part)
    return total


def _added(total: tirx.Expr | None, factor: Fraction, value: tirx.Expr) -> tirx.Expr:
    """Add a multiple; a factor of 1 or -1 is none."""
    scaled = value if abs(factor) == 1 else value * tirx.const(float(abs(factor)), value.ty.dtype)
    if total is None:
        return scaled if factor > 0 else -scaled
    return total + scaled if factor > 0 else total - scaled
