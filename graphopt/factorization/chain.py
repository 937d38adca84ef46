"""What a layer becomes: convolutions one behind the other, none but the last with a bias."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphopt.calibration.gram import Float64
from graphopt.factorization.layer import Layer


@dataclass(frozen=True)
class Stage:
    """The sizes of one convolution of a chain, or of one product of matrices.

    Attributes:
        shape: of its weight, [outputs, inputs / groups, *kernel], as ONNX has it.
        groups: of channels.
        axes: the spatial axes along which its window moves as the layer's does, with its strides, pads and dilations.
            Along the others it has one tap. Each axis belongs to one stage of a chain.

    """

    shape: tuple[int, ...]
    groups: int
    axes: frozenset[int]


Stages = tuple[Stage, ...]


@dataclass(frozen=True)
class Chain:
    """A layer's replacement.

    Attributes:
        stages: the first reads what the layer reads.
        weights: of each.
        rows: the map that they are together, as the layer's weight has it: [groups, outputs, columns].
        shift: what they make too little on the mean, [groups · outputs].

    """

    stages: Stages
    weights: tuple[Float64, ...]
    rows: Float64
    shift: Float64


def parameters(stages: Stages) -> int:
    """Return how many elements the weights have."""
    return sum(math.prod(stage.shape) for stage in stages)


def macs(stages: Stages, layer: Layer) -> int:
    """Return the multiply-adds for one sample in a layer's place; raises ValueError where its sizes are unknown."""
    before, after = _sizes(layer)
    return sum(
        places * math.prod(stage.shape) for stage, places in zip(stages, _places(stages, before, after), strict=True)
    )


def macs_of(layer: Layer) -> int:
    """Return the multiply-adds of a layer as it is, for one sample; raises ValueError where its sizes are unknown."""
    return math.prod(_sizes(layer)[1]) * layer.weight.size


def _sizes(layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if layer.before is None or layer.after is None:
        raise ValueError(f"the sizes of what {layer.name!r} reads or makes are unknown")
    return layer.before, layer.after


def _places(stages: Sequence[Stage], before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[int]:
    """Yield over how many places each stage works: an axis has its new size from the stage on that moves along it."""
    sizes = list(before)
    for stage in stages:
        for axis in stage.axes:
            sizes[axis] = after[axis]
        yield math.prod(sizes)
