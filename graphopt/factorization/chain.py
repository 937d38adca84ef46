"""What a layer becomes: convolutions one behind the other, none but the last with a bias."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphopt.calibration.gram import Float64
from graphopt.factorization.layer import Layer


@dataclass(frozen=True)
class Stage:
    """One convolution of a chain, or one product of matrices.

    Attributes:
        weight: [outputs, inputs / groups, *kernel], as ONNX has it.
        groups: of channels.
        axes: the spatial axes along which its window moves as the layer's does, with its strides, pads and dilations.
            Along the others it has one tap. Each axis belongs to one stage of a chain.

    """

    weight: Float64
    groups: int
    axes: frozenset[int]


@dataclass(frozen=True)
class Chain:
    """A layer's replacement.

    Attributes:
        stages: the first reads what the layer reads.
        rows: the map that they are together, as the layer's weight has it: [groups, outputs, columns].
        shift: what they make too little on the mean, [groups · outputs].

    """

    stages: tuple[Stage, ...]
    rows: Float64
    shift: Float64

    @property
    def parameters(self) -> int:
        """How many elements its weights have."""
        return sum(stage.weight.size for stage in self.stages)

    def macs(self, layer: Layer) -> int | None:
        """Return the multiply-adds for one sample; None where the model does not say over how many places."""
        if layer.before is None or layer.after is None:
            return None
        return sum(
            places * stage.weight.size
            for stage, places in zip(self.stages, _places(self.stages, layer.before, layer.after), strict=True)
        )


def macs_of(layer: Layer) -> int | None:
    """Return the multiply-adds of a layer as it is, for one sample; None where the places are unknown."""
    return None if layer.after is None else math.prod(layer.after) * layer.weight.size


def _places(stages: Sequence[Stage], before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[int]:
    """Yield over how many places each stage works: an axis has its new size from the stage on that moves along it."""
    sizes = list(before)
    for stage in stages:
        for axis in stage.axes:
            sizes[axis] = after[axis]
        yield math.prod(sizes)
