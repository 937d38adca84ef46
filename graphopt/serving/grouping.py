"""Which requests can run as one, and how their arrays are put together and taken apart again."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

import numpy as np

from graphopt.tensors import Array, TensorSpec


class Program(Protocol):
    """What of a `CompiledModule` a server uses."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in the model's order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in the model's order."""

    @property
    def variants(self) -> tuple[dict[str, tuple[int, ...]], ...]:
        """The shapes of inputs that there is native code for."""

    @property
    def batched(self) -> tuple[str, ...]:
        """The inputs whose leading axis is a batch of samples that do not touch each other."""

    def run(self, feeds: Mapping[str, object]) -> dict[str, Array]:
        """Run on arrays by input name; return arrays by output name."""


class Grouping:
    """How the requests to one program combine.

    They do where the leading axis of all of its inputs is proved to be a batch of samples that do not touch each
    other; where an input is shared by the samples, or nothing is proved, each request runs by itself.
    """

    def __init__(self, program: Program) -> None:
        self._names = tuple(spec.name for spec in program.inputs)
        self._combines = bool(self._names) and set(program.batched) == set(self._names)

    def key(self, feeds: Mapping[str, Array]) -> Hashable:
        """Return what requests that run as one have in common: all of a shape but the batch; None runs alone."""
        if not self._combines or not self.samples(feeds):
            return None
        return tuple(feeds[name].shape[1:] for name in self._names)

    def samples(self, feeds: Mapping[str, Array]) -> int:
        """Return how many samples a request has; 1 where they are not counted."""
        return len(feeds[self._names[0]]) if self._combines else 1

    def join(self, requests: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
        """Put the arrays of requests of one key behind each other."""
        if len(requests) == 1:
            return requests[0]
        return {name: np.concatenate([feeds[name] for feeds in requests]) for name in self._names}

    def split(self, results: Mapping[str, Array], sizes: Sequence[int]) -> list[dict[str, Array]]:
        """Give each request its samples of all outputs, in the order of `join`; `sizes` counts them."""
        if len(sizes) == 1:
            return [dict(results)]
        stops = itertools.accumulate(sizes)
        cuts = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        return [{name: array[cut] for name, array in results.items()} for cut in cuts]
