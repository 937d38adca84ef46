"""The shapes that a product of small weights can take in the place of a large one.

Each form reads a layer's columns x as fewer features D·x, computed by small convolutions; the last convolution is any
linear map A of these, so that all forms have it by regression (`graphopt.factorization.linear.regress`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphopt.calibration.gram import Float64
from graphopt.factorization.chain import Stage, Stages
from graphopt.factorization.cp import decompose
from graphopt.factorization.layer import Layer
from graphopt.factorization.linear import best_inputs, best_outputs, regress, root_of
from graphopt.factorization.moment import Moment

Ranks = tuple[int, ...]


@dataclass(frozen=True)
class Basis:
    """Features of a layer's columns.

    Attributes:
        weights: of the stages that compute them, in any shape that lies in memory as the stage's does.
        features: D, [groups, q, columns].

    """

    weights: tuple[Float64, ...]
    features: Float64


class Form(ABC):
    """One way to write a layer as a chain.

    Attributes:
        name: as options and reports have it.

    """

    name: ClassVar[str]

    @abstractmethod
    def largest(self, layer: Layer) -> Ranks | None:
        """Return the ranks at which the form is exact, or None where a layer cannot have it."""

    @abstractmethod
    def stages(self, layer: Layer, ranks: Ranks) -> Stages:
        """Return the sizes of the chain, each rank being from 1 to the largest."""

    @abstractmethod
    def basis(self, layer: Layer, moment: Moment, ranks: Ranks) -> Basis:
        """Return features of these ranks, for errors of that weight."""


class Channel(Form):
    """The whole window to r channels, and these to all: the singular value decomposition of the weight's rows.

    Of matrices and 1×1 convolutions it is what is called low rank; of larger windows, that of X. Zhang et al.:
    Accelerating very deep convolutional networks for classification and detection, 2016.
    """

    name: ClassVar[str] = "channel"

    def largest(self, layer: Layer) -> Ranks | None:
        """Return the rank that any weight of these sizes has."""
        return (min(layer.outputs, layer.columns),)

    def stages(self, layer: Layer, ranks: Ranks) -> Stages:
        """Let the first move as the layer does."""
        return _window(layer, ranks[0], layer.inputs), _pointwise(layer, layer.outputs, ranks[0])

    def basis(self, layer: Layer, moment: Moment, ranks: Ranks) -> Basis:
        """Project onto the principal directions of what the layer makes."""
        features = best_outputs(layer.rows, moment.matrix, ranks[0]).transpose(0, 2, 1) @ layer.rows
        return Basis((features,), features)


class Spatial(Form):
    """Windows along the first axis, then along the others: k×1 and 1×k.

    M. Jaderberg, A. Vedaldi, A. Zisserman: Speeding up convolutional neural networks with low rank expansions, 2014.
    """

    name: ClassVar[str] = "spatial"

    def largest(self, layer: Layer) -> Ranks | None:
        """Ask for a window of several taps along two axes at least."""
        if len(layer.kernel) < 2 or layer.kernel[0] < 2 or max(layer.kernel[1:]) < 2:
            return None
        return (min(layer.inputs * layer.kernel[0], layer.outputs * math.prod(layer.kernel[1:])),)

    def stages(self, layer: Layer, ranks: Ranks) -> Stages:
        """Move along the first axis, and then along the others."""
        first, *others = layer.kernel
        down = (layer.groups * ranks[0], layer.inputs, first, *[1] * len(others))
        across = (layer.groups * layer.outputs, ranks[0], 1, *others)
        return (
            Stage(down, layer.groups, frozenset({0})),
            Stage(across, layer.groups, frozenset(range(1, len(layer.kernel)))),
        )

    def basis(self, layer: Layer, moment: Moment, ranks: Ranks) -> Basis:
        """Split the taps [inputs, first, others] in two, and weigh the first part by what it sees of the moment."""
        first, across = layer.kernel[0], math.prod(layer.kernel[1:])
        taps = layer.rows.reshape(layer.groups, layer.outputs, layer.inputs * first, across)
        unfolded = taps.transpose(0, 1, 3, 2).reshape(layer.groups, layer.outputs * across, -1)
        down = best_inputs(unfolded, moment.marginal((layer.inputs, first, across), (0, 1)), ranks[0])
        features = np.einsum("grc,vw->grvcw", down, np.eye(across))
        return Basis((down,), features.reshape(layer.groups, -1, layer.columns))


class Tucker(Form):
    """Fewer channels, the window among these, and all channels again: 1×1, k×k, 1×1; two ranks.

    Y.-D. Kim et al.: Compression of deep convolutional neural networks for fast and low power mobile applications,
    2016. The core and the last factor are the best that there are for the first.
    """

    name: ClassVar[str] = "tucker"

    def largest(self, layer: Layer) -> Ranks | None:
        """Ask for several taps, and channels to save."""
        if layer.taps < 2 or layer.inputs < 2 or layer.outputs < 2:
            return None
        return min(layer.inputs, layer.outputs * layer.taps), min(layer.outputs, layer.columns)

    def stages(self, layer: Layer, ranks: Ranks) -> Stages:
        """Let the core move as the layer does."""
        read, made = _tucker_ranks(layer, ranks)
        return _pointwise(layer, read, layer.inputs), _window(layer, made, read), _pointwise(layer, layer.outputs, made)

    def basis(self, layer: Layer, moment: Moment, ranks: Ranks) -> Basis:
        """Reduce the inputs first, then what the layer makes of what is left."""
        read, made = _tucker_ranks(layer, ranks)
        by_input = np.moveaxis(layer.weight, 2, -1).reshape(layer.groups, -1, layer.inputs)
        first = best_inputs(by_input, moment.marginal(layer.weight.shape[2:], (0,)), read)
        windows = np.einsum("grc,vw->grvcw", first, np.eye(layer.taps)).reshape(layer.groups, -1, layer.columns)
        rows = regress(layer.rows, windows, moment.matrix)
        core = best_outputs(rows, moment.through(windows), made).transpose(0, 2, 1) @ rows
        return Basis((first, core), core @ windows)


class Cp(Form):
    """A sum of products of vectors, one an axis: 1×1, then one channel at a time along each axis, then 1×1.

    V. Lebedev et al.: Speeding-up convolutional neural networks using fine-tuned CP-decomposition, 2015.
    """

    name: ClassVar[str] = "cp"

    def largest(self, layer: Layer) -> Ranks | None:
        """Ask for several taps, and channels to mix."""
        return (layer.columns,) if layer.columns > layer.inputs > 1 else None

    def stages(self, layer: Layer, ranks: Ranks) -> Stages:
        """Let each axis of several taps have its own stage."""
        return (
            _pointwise(layer, ranks[0], layer.inputs),
            *_along_axes(layer, layer.groups * ranks[0]),
            _pointwise(layer, layer.outputs, ranks[0]),
        )

    def basis(self, layer: Layer, moment: Moment, ranks: Ranks) -> Basis:
        """Decompose the weight, its inputs weighed by what they are on the data."""
        root = root_of(moment.marginal(layer.weight.shape[2:], (0,)))
        windows = layer.weight.reshape(*layer.weight.shape[:3], *(size for size in layer.kernel if size > 1))
        weighed = np.einsum("goc...,gcd->god...", windows, root)
        found = [decompose(group, ranks[0])[1:] for group in weighed]
        first, *others = (np.stack(factors).transpose(0, 2, 1) for factors in zip(*found, strict=True))
        first = np.linalg.solve(root.transpose(0, 2, 1), first.transpose(0, 2, 1)).transpose(0, 2, 1)
        features = first
        for vectors in others:
            features = np.einsum("grc,grv->grcv", features, vectors).reshape(*features.shape[:2], -1)
        return Basis((first, *others), features)


class Depthwise(Form):
    """m windows of each channel, then all channels from these: a depthwise convolution and a pointwise one.

    F. Chollet: Xception, 2017, has networks made of it; here it is the best of its kind for a given weight.
    """

    name: ClassVar[str] = "depthwise"

    def largest(self, layer: Layer) -> Ranks | None:
        """Ask for several taps, and channels to mix."""
        return (min(layer.taps, layer.outputs),) if layer.taps > 1 and layer.inputs > 1 else None

    def stages(self, layer: Layer, ranks: Ranks) -> Stages:
        """Let the windows of single channels move as the layer does."""
        channels = layer.groups * layer.inputs
        alone = Stage((channels * ranks[0], 1, *layer.kernel), channels, _all_axes(layer))
        return alone, _pointwise(layer, layer.outputs, layer.inputs * ranks[0])

    def basis(self, layer: Layer, moment: Moment, ranks: Ranks) -> Basis:
        """Find the windows of each channel by itself."""
        sizes = layer.groups, layer.inputs, ranks[0], layer.taps
        alone = layer.rows.reshape(layer.groups, layer.outputs, layer.inputs, layer.taps).transpose(0, 2, 1, 3)
        rows = alone.reshape(-1, layer.outputs, layer.taps)
        windows = best_inputs(rows, _of_channels(layer, moment.matrix), ranks[0]).reshape(sizes)
        features = np.einsum("gcmt,cd->gcmdt", windows, np.eye(layer.inputs))
        return Basis((windows,), features.reshape(layer.groups, -1, layer.columns))


FORMS: dict[str, Form] = {form.name: form for form in (Channel(), Spatial(), Tucker(), Cp(), Depthwise())}


def _all_axes(layer: Layer) -> frozenset[int]:
    return frozenset(range(len(layer.kernel)))


def _window(layer: Layer, outputs: int, inputs: int) -> Stage:
    return Stage((layer.groups * outputs, inputs, *layer.kernel), layer.groups, _all_axes(layer))


def _pointwise(layer: Layer, outputs: int, inputs: int) -> Stage:
    return Stage((layer.groups * outputs, inputs, *[1] * len(layer.kernel)), layer.groups, frozenset())


def _along_axes(layer: Layer, channels: int) -> Iterator[Stage]:
    """Yield a stage for each axis of several taps, one channel at a time; the first moves along the rest too."""
    still = {axis for axis, size in enumerate(layer.kernel) if size == 1}
    moving = [axis for axis, size in enumerate(layer.kernel) if size > 1]
    for axis in moving:
        shape = [size if other == axis else 1 for other, size in enumerate(layer.kernel)]
        yield Stage((channels, 1, *shape), channels, frozenset({axis} | (still if axis == moving[0] else set())))


def _tucker_ranks(layer: Layer, ranks: Ranks) -> Ranks:
    """Return the ranks of a core, which makes no more than it reads."""
    return ranks[0], min(ranks[1], ranks[0] * layer.taps)


def _of_channels(layer: Layer, moment: Float64) -> Float64:
    """Return the moment of the window of each channel by itself: [channels, taps, taps], or its diagonals."""
    if moment.ndim == 2:
        return moment.reshape(-1, layer.taps)
    blocks = moment.reshape(layer.groups, layer.inputs, layer.taps, layer.inputs, layer.taps)
    return np.asarray(np.einsum("gctcu->gctu", blocks)).reshape(-1, layer.taps, layer.taps)
