"""Channels by the size of their weights, over all tensors that lose something with them.

A channel is made by rows of some weights, passed on by filters of depthwise ones, and summed over by columns of others;
all of them count (G. Fang et al.: DepGraph, 2023). Its bias and what normalizes it do not: they shift it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir

from graphopt.coupling.groups import Channel, Coupling, Group
from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.pruning.importance.evidence import Evidence
from graphopt.quantization.rows import Float64

Measure = Callable[[str, Float64], Float64]
"""Makes of the elements of a weight, by its name, what each adds to its channel."""


def l1(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:  # noqa: ARG001
    """Return Σ|w| by channel (H. Li et al.: Pruning filters for efficient ConvNets, 2017)."""
    return {group.name: sums_by_channel(model, group, lambda _, weight: np.abs(weight))[0] for group in coupling.groups}


def l2(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:  # noqa: ARG001
    """Return √Σw² by channel."""
    return {group.name: np.sqrt(squared_weights(model, group)) for group in coupling.groups}


def above_threshold(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return the share of a channel's weights with |w| > h, h being the threshold of the evidence."""
    found = {}
    for group in coupling.groups:
        sums, counts = sums_by_channel(
            model, group, lambda _, weight: (np.abs(weight) > evidence.threshold).astype(np.float64)
        )
        found[group.name] = sums / np.maximum(counts, 1)
    return found


def squared_weights(model: ir.Model, group: Group) -> Float64:
    """Return Σw² by channel of a group."""
    return sums_by_channel(model, group, lambda _, weight: np.square(weight))[0]


def weights_of(model: ir.Model, channel: Channel) -> Iterator[tuple[str, int]]:
    """Yield the places of a channel in weights: initializers of real numbers with more than one axis."""
    for name, axis in channel.places:
        value = model.graph.initializers.get(name)
        tensor = constant_tensor(value)
        if tensor is not None and len(tensor.shape) > 1 and tensor.dtype.is_floating_point():
            yield name, axis


def sums_by_channel(model: ir.Model, group: Group, measure: Measure) -> tuple[Float64, Float64]:
    """Return by channel the sum of what its weights are made into, and how many they are."""
    sums, counts = np.zeros(len(group.channels)), np.zeros(len(group.channels))
    for name, axis in weights_of(model, group.channels[0]):
        tensor = constant_tensor(model.graph.initializers[name])
        weight = tensor.numpy().astype(np.float64) if tensor is not None else np.zeros(0)
        if not np.isfinite(weight).all():
            raise ModelError(f"the weight {name!r} holds a NaN or an infinity; mend the model")
        others = tuple(index for index in range(weight.ndim) if index != axis)
        along = measure(name, weight).sum(axis=others)
        size = weight.size // weight.shape[axis]
        for number, channel in enumerate(group.channels):
            indices = channel.places[name, axis]
            sums[number] += along[indices].sum()
            counts[number] += size * len(indices)
    return sums, counts
