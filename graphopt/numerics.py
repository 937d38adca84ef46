"""Are two sets of outputs the same answer? One definition, used by every check."""

from __future__ import annotations

from typing import NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from graphopt.tensors import Array, Feeds

DEFAULT_TOLERANCE = 1e-4
_ROUNDED = frozenset(map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)))


class Difference(NamedTuple):
    """How far one output is from its reference.

    Attributes:
        output: the output's name.
        error: largest absolute difference, over the largest magnitude of the reference (its scale); infinite
            where shapes or dtypes differ, or where one side alone has a NaN or an infinity.
        reason: what differs, in words.

    """

    output: str
    error: float
    reason: str

    def __str__(self) -> str:
        return f"output {self.output!r} {self.reason}"


def differences(reference: Feeds, actual: Feeds) -> list[Difference]:
    """Compare output by output, the worst first. Both sides must have the same names in the same order."""
    if list(reference) != list(actual):
        names = f"{', '.join(reference)} became {', '.join(actual)}"
        return [Difference(next(iter(reference), ""), np.inf, f"and its neighbours changed: {names}")]
    found = [difference(name, reference[name], actual[name]) for name in reference]
    return sorted(found, key=lambda one: one.error, reverse=True)


def one_unit_away(feeds: Feeds, seed: int) -> Feeds:
    """Return the inputs with each float of 16 bits or more moved by one unit in the last place, up or down."""
    rng = np.random.default_rng(seed)
    return {name: _nudged(array, rng) if array.dtype in _ROUNDED else array for name, array in feeds.items()}


def _nudged(array: Array, rng: np.random.Generator) -> Array:
    moved = np.nextafter(array, rng.choice(np.array([-np.inf, np.inf], array.dtype), array.shape))
    return np.where(np.isfinite(array), moved, array)


def difference(name: str, reference: Array, actual: Array, *, scale: float = 0.0) -> Difference:
    """Compare one output with its reference; only floating-point numbers may differ a little.

    `scale` is known of the output otherwise, and holds where the reference itself has a smaller one.
    """
    if reference.shape != actual.shape:
        return Difference(name, np.inf, f"has shape {actual.shape} instead of {reference.shape}")
    if reference.dtype != actual.dtype:
        return Difference(name, np.inf, f"has dtype {actual.dtype} instead of {reference.dtype}")
    if reference.dtype.kind in "OSUbiu":
        wrong = int(np.count_nonzero(reference != actual))
        return Difference(name, np.inf if wrong else 0.0, f"differs in {wrong} of {reference.size} elements")
    return _numeric_difference(name, _widen(reference), _widen(actual), scale)


def _numeric_difference(
    name: str, reference: npt.NDArray[np.float64], actual: npt.NDArray[np.float64], least_scale: float
) -> Difference:
    finite = np.isfinite(reference)
    if not np.array_equal(np.where(finite, 0, reference), np.where(np.isfinite(actual), 0, actual), equal_nan=True):
        return Difference(name, np.inf, "has NaN or infinity where the reference has none, or the reverse")
    gap = np.abs(np.subtract(actual, reference, out=np.zeros_like(reference), where=finite))
    scale = float(np.max(np.abs(np.where(finite, reference, 0)), initial=least_scale))
    worst = float(np.max(gap, initial=0.0))
    error = worst / scale if scale else (np.inf if worst else 0.0)
    return Difference(name, error, f"differs by up to {worst:.3g} where its scale is {scale:.3g}")


def _widen(array: Array) -> npt.NDArray[np.float64]:
    """Return every floating-point type as float64, a complex number as a pair of them."""
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag]).astype(np.float64)
    return array.astype(np.float64)
