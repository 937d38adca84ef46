"""Inputs on which a wrong rewrite gives itself away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.errors import RunError
from graphopt.tensors import Array

SIZES: tuple[tuple[int, ...], ...] = ((2, 7, 5, 3), (6,), (32, 48, 40, 36), (1,), (224,))
"""Sizes for free dimensions, in the order in which symbols appear; the first row that the nodes run with."""

MOST_ELEMENTS = 1 << 26
SHAPE_LIKE = 8
"""An integer tensor of rank 0 or 1 with no more elements may be a shape, so it stays small."""


class Limits(NamedTuple):
    """The largest number of a type, and its smallest that is not denormal."""

    max: float
    tiny: float


Draw = Callable[[np.random.Generator, tuple[int, ...], Limits], Array]


def _special(rng: np.random.Generator, shape: tuple[int, ...], values: Sequence[float]) -> Array:
    drawn = rng.standard_normal(shape)
    return np.where(rng.random(shape) < 0.25, rng.choice(np.array(values), shape), drawn)


FLOATS: Mapping[str, Draw] = {
    "normal": lambda rng, shape, _: rng.standard_normal(shape),
    "positive": lambda rng, shape, _: np.abs(rng.standard_normal(shape)) + 0.125,
    "negative": lambda rng, shape, _: -np.abs(rng.standard_normal(shape)),
    "zero": lambda _, shape, __: np.zeros(shape),
    "large": lambda rng, shape, limits: rng.standard_normal(shape) * min(1e4, limits.max**0.25),
    "huge": lambda rng, shape, limits: rng.uniform(-0.25, 0.25, shape) * limits.max**0.5,
    "denormal": lambda rng, shape, limits: rng.uniform(-1, 1, shape) * limits.tiny,
    "infinite": lambda rng, shape, _: _special(rng, shape, (-np.inf, np.inf)),
}
"""How floating-point inputs are drawn, the ordinary way first."""

INTEGERS: Mapping[str, tuple[int, int]] = {
    "zero": (0, 1),
    "negative": (-4, 1),
    "large": (-(1 << 15), 1 << 15),
    "huge": (-(1 << 30), 1 << 30),
}
"""The range of integer inputs; 0 to 3 otherwise."""


def draw(inputs: Sequence[ir.Value], kind: str, sizes: Sequence[int], seed: int) -> dict[str, Array]:
    """Make an array for each value, by its name.

    Raises:
        RunError: a value's type is unknown or no tensor's, or it would be too large.

    """
    rng = np.random.default_rng(seed)
    symbols: dict[str, int] = {}
    return {str(value.name): _array(value, kind, _shape(value, sizes, symbols), rng) for value in inputs}


def _array(value: ir.Value, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if not isinstance(value.type, ir.TensorType):
        raise RunError(f"the type of {value.name!r} is not known, or no tensor")
    dtype = value.type.dtype.numpy()
    match dtype.kind:
        case "O":
            return rng.choice(np.array(["a", "b", "c"], dtype=object), shape)
        case "b":
            return np.asarray(rng.random(shape) < 0.5)  # of rank 0, it would be no array
        case "i" | "u":
            return _integers(kind, shape, dtype, rng)
        case "f" if np.issubdtype(dtype, np.floating):  # float8_e5m2 says "f" too, and is none of numpy's
            return _floats(kind, shape, dtype, rng)
        case _:
            raise RunError(f"no values of type {dtype.name} can be made up for {value.name!r}")


def _floats(kind: str, shape: tuple[int, ...], dtype: np.dtype[np.generic], rng: np.random.Generator) -> Array:
    info = np.finfo(dtype.name)
    with np.errstate(all="ignore"):
        return FLOATS[kind](rng, shape, Limits(float(info.max), float(info.tiny))).astype(dtype)


def _integers(kind: str, shape: tuple[int, ...], dtype: np.dtype[np.generic], rng: np.random.Generator) -> Array:
    low, high = (0, 4) if len(shape) < 2 and np.prod(shape) <= SHAPE_LIKE else INTEGERS.get(kind, (0, 4))
    info = np.iinfo(dtype.name)
    return rng.integers(max(low, int(info.min)), min(high, int(info.max) + 1), shape).astype(dtype)


def _shape(value: ir.Value, sizes: Sequence[int], symbols: dict[str, int]) -> tuple[int, ...]:
    dims = (None, None) if value.shape is None else value.shape  # a matrix is as good a guess as any
    shape = tuple(sizes[0] if dim is None else _size(dim, sizes, symbols) for dim in dims)
    if np.prod(shape, dtype=np.float64) > MOST_ELEMENTS:
        raise RunError(f"{value.name!r} of shape {list(shape)} is too large to try")
    return shape


def _size(dim: int | ir.SymbolicDim, sizes: Sequence[int], symbols: dict[str, int]) -> int:
    """Return a dimension's size: an expression follows the sizes of its symbols."""
    if isinstance(dim, int):
        return dim
    if dim.value is None:
        return sizes[0]
    for symbol in sorted(dim.free_symbols()):
        symbols.setdefault(symbol, sizes[len(symbols) % len(sizes)])
    size = dim.evaluate(symbols)
    return size if isinstance(size, int) and size > 0 else sizes[0]
