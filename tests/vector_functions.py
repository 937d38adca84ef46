"""Kernels of one elementary function, what they should answer, and the distance in units in the last place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import te, tirx

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.schedule.module import schedule_kernel
from graphopt.backends.tvm.vectormath.expand import expand_functions
from graphopt.targets import Target
from graphopt.tensors import Array

Function = Callable[[Array], Array]


def _sigmoid(x: Array) -> Array:
    decay = np.exp(-np.abs(x))
    return np.where(x < 0, decay, 1) / (1 + decay)


EXACT: dict[str, Function] = {
    "atanh": np.arctanh,
    "cosh": np.cosh,
    "erf": lambda x: np.frompyfunc(math.erf, 1, 1)(x).astype(np.float64),
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": _sigmoid,
    "sinh": np.sinh,
    "tanh": np.tanh,
}
"""Each function in double precision, whose error is nothing beside a float32's."""
BOUNDS = {
    "atanh": 3,
    "cosh": 2,
    "erf": 1.5,
    "exp": 1,
    "log": 1,
    "log1p": 2,
    "sigmoid": 2.5,
    "sinh": 3,
    "tanh": 2.5,
}
"""The units in the last place that the functions' docstrings state."""


def library(name: str, size: int, target: Target, dtype: str = "float32") -> Any:
    """Compile a kernel that applies a function to a vector; a module of TVM's runtime."""
    x = te.placeholder((size,), dtype)
    y = te.compute((size,), lambda i: getattr(tirx, name)(x(i)))
    kernel = schedule_kernel(te.create_prim_func([x, y]).with_attr("global_symbol", "main"), target)
    return tvm.tirx.build(tvm.IRModule({"main": expand_functions(kernel)}), tvm_target(target))


def run(compiled: Any, x: Array) -> Array:
    """Apply a kernel of `library` to a vector of its size."""
    source, result = tvm.runtime.tensor(x), tvm.runtime.empty(x.shape, str(x.dtype))
    compiled["main"](source, result)
    answer: Array = result.numpy()
    return answer


def exact(name: str, x: Array) -> Array:
    """Return what a function is of float32, as float64."""
    with np.errstate(all="ignore"):
        return EXACT[name](x.astype(np.float64))


def ulps(actual: Array, expected: Array) -> Array:
    """Return how many units in the last place of float32 lie between answers and exact results.

    Below 2⁻¹²⁶ a unit is the smallest float. NaN and what rounds to an infinity are either met or infinitely far.
    """
    _, exponent = np.frexp(expected)
    unit = np.ldexp(1.0, np.maximum(exponent, -125) - 24)
    with np.errstate(all="ignore"):
        rounded = expected.astype(np.float32)
        distance = np.abs(actual - expected) / unit
    is_number = np.isfinite(rounded) & np.isfinite(actual)
    is_met = (rounded == actual) | (np.isnan(rounded) & np.isnan(actual))
    return np.where(is_number, distance, np.where(is_met, 0, np.inf))
