"""From the ranges of a model's values to a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.quantization.affine import Affine, affine_of, limits_of
from graphopt.quantization.audible import audible
from graphopt.quantization.biases import bias_of
from graphopt.quantization.obstacles import WEIGHT, activations, weight_axis
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import Scheme
from graphopt.quantization.selection import Selection
from graphopt.quantization.sharing import Range, shared_ranges
from graphopt.reciprocal import next_with_reciprocal
from graphopt.tensors import Array

_MOST = 2.0**30
"""The largest integer of a bias. As much again of an int32 is left for the sum of products: 33,000 of 255·127."""

_MOST_MULTIPLIED = 255
"""Scales of more integers than 8 bits hold would have to move too far."""

_FAINT = 2.0**-24
"""Channels with weights this far below those of the largest add nothing to a sum in float32, and have no scale less."""


def decide(selection: Selection, ranges: Mapping[str, tuple[float, float]], scheme: Scheme) -> Plan:
    """Choose the parameters of every selected value and weight.

    Args:
        selection: which they are (`graphopt.quantization.selection.select`).
        ranges: between which numbers each of `selection.sources` is to be represented, by name; empty for weights
            alone.
        scheme: the integers to use.

    """
    heard = {str(value.name): _heard(value, ranges[str(value.name)]) for value in selection.sources if ranges}
    values = {value: _activation(one, scheme) for value, one in shared_ranges(selection, heard).items()}
    weights: dict[str, Affine] = {}
    for weight, nodes in _readers(selection).items():
        weights[str(weight.name)] = _weight(weight, nodes, values, scheme)
    return Plan(
        values={str(value.name): affine for value, affine in values.items()},
        weights=weights,
        nodes=frozenset(str(node.outputs[0].name) for node in selection.nodes),
    )


def _heard(value: ir.Value, ends: tuple[float, float]) -> tuple[float, float]:
    """Return a range, zero within it, without what the readers of the value make the same of."""
    low, high = audible(value)
    return min(max(ends[0], low), 0.0), max(min(ends[1], high), 0.0)


def _activation(one: Range, scheme: Scheme) -> Affine:
    affine = affine_of(
        one.lower,
        one.upper,
        scheme.activation_dtype,
        symmetric=scheme.symmetric,
        power_of_two=scheme.power_of_two,
    )
    most = max(abs(end - int(affine.zero_point)) for end in affine.limits)
    if not scheme.facts.multiplies or most > _MOST_MULTIPLIED:
        return affine
    return replace(affine, scale=np.asarray(next_with_reciprocal(float(affine.scale), most), np.float32))


def _readers(selection: Selection) -> dict[ir.Value, list[ir.Node]]:
    """Return the selected readers of each weight: several layers may share one."""
    readers: dict[ir.Value, list[ir.Node]] = {}
    for node in selection.products:
        weight = node.inputs[WEIGHT]
        if weight is not None:
            readers.setdefault(weight, []).append(node)
    return readers


def _weight(weight: ir.Value, nodes: list[ir.Node], values: Mapping[ir.Value, Affine], scheme: Scheme) -> Affine:
    """Spread the integers over the largest magnitude: of each channel, if all readers have them on one axis."""
    axes = {weight_axis(node) for node in nodes}
    axis = axes.pop() if scheme.per_channel and len(axes) == 1 else None
    array = constant(weight)
    magnitude = np.abs(np.zeros(0) if array is None else array.astype(np.float64))
    peak = np.maximum(magnitude.max(axis=_others(magnitude, axis)), _FAINT * magnitude.max())
    for node in nodes:
        peak = np.maximum(peak, _least_peak(node, values, axis, scheme))
    return affine_of(-peak, peak, scheme.weight_dtype, symmetric=True, power_of_two=scheme.power_of_two, axis=axis)


def _least_peak(node: ir.Node, values: Mapping[ir.Value, Affine], axis: int | None, scheme: Scheme) -> Array:
    """Return how large a weight has to be taken for the bias to fit an int32 of scale sx·sw.

    A channel of tiny weights and a large bias would need more.
    """
    bias, reads = bias_of(node), values.get(activations(node)[0][1])
    if bias is None or reads is None:
        return np.zeros(())
    _, greatest = limits_of(scheme.weight_dtype)
    least = np.abs(bias.astype(np.float64)) / (float(reads.scale) * _MOST) * greatest
    return np.asarray(least if axis is not None else least.max())


def _others(array: Array, axis: int | None) -> tuple[int, ...]:
    return tuple(other for other in range(array.ndim) if other != axis)
