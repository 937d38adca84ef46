"""Executing one rewrite before and after it, on many inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.backends.ort.session import Session
from graphopt.errors import ModelError, RunError
from graphopt.ir.snippet import as_model, cone, free_inputs, snippet
from graphopt.ir.walk import subgraphs
from graphopt.numerics import Difference, difference, one_unit_away
from graphopt.pipeline.adversary import FLOATS, SIZES, draw
from graphopt.pipeline.check import Rewrite
from graphopt.pipeline.numeric_check import NOISE_FACTOR
from graphopt.tensors import Array, Feeds

ORDINARY, INFINITE = "normal", "infinite"
UNITS = 4
"""In the last place, which any rewrite may move an output by, however coarse its type."""


@dataclass(frozen=True)
class Failure:
    """Inputs on which both sides of a rewrite differ.

    Attributes:
        kind: of inputs (`graphopt.pipeline.adversary`).
        difference: the output that differs.
        before, after: both sides as models.
        feeds: the inputs.

    """

    kind: str
    difference: Difference
    before: ir.Model
    after: ir.Model
    feeds: Feeds


class Trial:
    """Both sides of a rewrite as models with the same inputs and outputs.

    Args:
        rewrite: what is on trial.
        context: nodes before it that run with it, on both sides.
        seed: of the inputs.
        tolerance: of an output, relative to its scale.

    Raises:
        RunError: a node holds a graph, so it cannot be taken out alone, or it reads what has no known type.

    """

    def __init__(self, rewrite: Rewrite, context: tuple[ir.Node, ...], *, seed: int, tolerance: float) -> None:
        old = {name: pair[0] for name, pair in rewrite.results.items()}
        new = {name: pair[1] for name, pair in rewrite.results.items()}
        left = cone(old.values(), {*rewrite.matched, *context})
        right = cone(new.values(), {*rewrite.matched, *context, *rewrite.built})
        if any(any(subgraphs(node)) for node in (*left, *right)):
            raise RunError("it holds a graph, which cannot be taken out alone")
        inputs = list(dict.fromkeys((*free_inputs(left, old.values()), *free_inputs(right, new.values()))))
        if untyped := [value.name for value in inputs if value.type is None]:
            raise RunError(f"the type of {untyped[0]!r} is not known")
        self._inputs = inputs
        self._before = as_model(snippet(left, inputs, old, old), rewrite.opset)
        self._after = as_model(snippet(right, inputs, new, old), rewrite.opset)
        self._seed = seed
        self._tolerance = tolerance
        self._scales: dict[str, float] = {}

    def run(self) -> Failure | None:
        """Return the first kind of inputs on which the sides differ, or None.

        Raises:
            ModelError, RunError: the left side does not run, or differs from itself.

        """
        before = reference_session(self._before, threads=1)
        sizes = self._start(before)
        try:
            after = reference_session(self._after, threads=1)
        except ModelError as error:
            return self._failure(ORDINARY, Difference(self._first, np.inf, f"cannot be had: {error}"), {})
        for index, kind in enumerate(FLOATS if self._inputs else (ORDINARY,)):
            feeds = draw(self._inputs, kind, sizes, self._seed + index)
            found = self._compare(before, after, kind, feeds)
            if found:
                return self._failure(kind, found, feeds)
        return None

    @property
    def _first(self) -> str:
        return str(self._before.graph.outputs[0].name)

    def _start(self, before: Session) -> tuple[int, ...]:
        """Find sizes that the left side runs with, and the scale of its outputs."""
        reason: RunError | None = None
        for sizes in SIZES:
            try:
                feeds = draw(self._inputs, ORDINARY, sizes, self._seed)
                answers, again = before.run(feeds), before.run(feeds)
            except RunError as error:
                reason = reason or error
                continue
            if any(difference(name, answers[name], again[name]).error for name in answers):
                raise RunError("it answers differently each time")
            self._scales = {name: _scale(array) for name, array in answers.items()}
            return sizes
        raise reason or RunError("there is nothing to try")

    def _compare(self, before: Session, after: Session, kind: str, feeds: Feeds) -> Difference | None:
        try:
            expected = before.run(feeds)
        except RunError:
            return None  # inputs that the left side does not take
        try:
            actual = after.run(feeds)
        except RunError as error:
            return Difference(self._first, np.inf, f"cannot be had: {error}")
        noise: dict[str, Difference] = {}
        for name in expected:
            found = self._difference(name, expected[name], actual[name], kind)
            if found.error <= max(self._tolerance, UNITS * _unit(expected[name])):
                continue
            noise = noise or self._noise(before, feeds, expected, kind)
            if found.error > NOISE_FACTOR * noise[name].error or np.isinf(found.error) > np.isinf(noise[name].error):
                return found
        return None

    def _noise(self, before: Session, feeds: Feeds, expected: Feeds, kind: str) -> dict[str, Difference]:
        """Measure how far the left side moves where its inputs move by a unit in the last place."""
        moved = before.run(one_unit_away(feeds, self._seed))
        return {name: self._difference(name, expected[name], moved[name], kind) for name in expected}

    def _difference(self, name: str, expected: Array, actual: Array, kind: str) -> Difference:
        """Compare where the left side gives a number.

        What is no number may become any; and where finite inputs overflow on the left, the right side may
        do better.
        """
        if expected.dtype == actual.dtype and expected.shape == actual.shape and _is_float(expected):
            wide = expected.astype(np.float64)
            free = np.isnan(wide) if kind == INFINITE else ~np.isfinite(wide)
            expected, actual = np.where(free, 0, wide), np.where(free, 0, actual.astype(np.float64))
        return difference(name, expected, actual, scale=self._scales[name])

    def _failure(self, kind: str, found: Difference, feeds: Feeds) -> Failure:
        plain = found._replace(error=float(found.error))
        return Failure(kind, plain, self._before, self._after, feeds)


def _is_float(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating)


def _scale(array: Array) -> float:
    if not _is_float(array):
        return 0.0
    wide = array.astype(np.float64)
    return float(np.max(np.abs(wide), initial=0.0, where=np.isfinite(wide)))


def _unit(array: Array) -> float:
    return float(np.finfo(array.dtype.name).eps) if _is_float(array) else 0.0
