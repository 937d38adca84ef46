"""Mending where two neighbouring products may leave int16, and nowhere else: see `graphopt.quantization.saturation`.

Seven bits for every weight would do, at the cost of a bit everywhere. A pair of weights fits if its sum is no more than
128, so a channel needs a scale that is larger by what its worst pair exceeds that, which is a quarter in most.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.quantization.affine import Affine, Reals
from graphopt.quantization.obstacles import WEIGHT, activations
from graphopt.quantization.plan import Plan
from graphopt.quantization.rows import from_rows, to_rows
from graphopt.quantization.saturation import SAFE_STEP, UINT8, Interval, saturating
from graphopt.tensors import Array

_GROWTH = np.float32(1.02)  # of a scale from try to try; 34 of them take away a bit


def without_saturation(model: ir.Model, plan: Plan, block: int = 1) -> Plan:
    """Return a plan in which no sum of two neighbouring products of uint8 and int8 leaves int16.

    It widens scales (`fit_pairs`), and rounds to the nearest where integers that were rounded otherwise do not fit
    (`round_where_safe`). Before `graphopt.quantization.refine` there are only scales to widen; behind it the integers
    are looked at. Weights that two layers share, and depthwise convolutions, stay.

    Args:
        model: that the plan was made for.
        plan: the decisions.
        block: see `graphopt.quantization.saturation.reduction`.

    """
    weights, integers = dict(plan.weights), dict(plan.integers)
    for node in model.graph:
        weight = node.inputs[WEIGHT] if len(node.inputs) > WEIGHT else None
        array, affine = constant(weight), plan.weights.get(str(weight.name)) if weight is not None else None
        if weight is None or array is None or affine is None or not _is_at_risk(node, plan):
            continue
        name, reals = str(weight.name), array.astype(np.float32)
        weights[name] = fit_pairs(node, reals, affine, block=block)
        if name in integers and weights[name] is affine:
            integers[name] = round_where_safe(node, integers[name], reals, affine, block=block)
        elif name in integers:
            integers[name] = weights[name].quantize(reals)
    return dataclasses.replace(plan, weights=weights, integers=integers)


def fit_pairs(node: ir.Node, weight: Reals, affine: Affine, activations: Interval = UINT8, block: int = 1) -> Affine:
    """Return `affine` with the scale of each channel that saturates widened until it does not; others stay.

    Rounded to the nearest these channels fit then with a step to spare in each weight, for those who round otherwise.
    At most a scale becomes that of weights of seven bits, which fit whatever their neighbours are.

    Args:
        node: a Conv, Gemm or MatMul.
        weight: its weight, real numbers.
        affine: symmetric int8, of the tensor or of the output channels.
        activations: the integers that the layer's input takes.
        block: see `graphopt.quantization.saturation.reduction`.

    """
    others = None if affine.axis is None else tuple(axis for axis in range(weight.ndim) if axis != affine.axis)
    widest = np.maximum(affine.scale, np.abs(weight).max(axis=others) / np.float32(SAFE_STEP))
    at_first = saturating(node, affine.quantize(weight), activations, block)
    while (risky := at_first & saturating(node, _outward(affine, weight), activations, block)).any():
        chosen = risky if affine.axis is not None else np.asarray(risky.any())
        scale = np.where(chosen, np.minimum(affine.scale * _GROWTH, widest), affine.scale).astype(np.float32)
        affine = Affine(scale, affine.zero_point, affine.axis)
    return affine


def round_where_safe(
    node: ir.Node, integers: Array, weight: Reals, affine: Affine, activations: Interval = UINT8, block: int = 1
) -> Array:
    """Return integers that were rounded otherwise, but to the nearest in channels where two neighbours may saturate.

    With an `affine` from `fit_pairs` no channel does then.
    """
    risky = saturating(node, integers, activations, block).reshape(to_rows(node, integers).shape[:2])
    rows = np.where(risky[..., None], to_rows(node, affine.quantize(weight)), to_rows(node, integers))
    return from_rows(node, rows, integers.shape).astype(affine.dtype)


def _outward(affine: Affine, weight: Reals) -> Array:
    """Return the nearest integers a step further from zero, but for those that fit whatever their neighbours are."""
    steps = affine.quantize(weight).astype(np.int64)
    return np.asarray(np.where(np.abs(steps) < SAFE_STEP, steps + np.sign(steps), steps))


def _is_at_risk(node: ir.Node, plan: Plan) -> bool:
    """Whether a node multiplies uint8 with an int8 weight of its own, and sums over channels."""
    weight, name = node.inputs[WEIGHT], str(node.outputs[0].name)
    read = plan.values.get(str(activations(node)[0][1].name))
    if weight is None or name not in plan.nodes or len(weight.uses()) != 1 or read is None:
        return False
    depthwise = node.attributes.get_int("group", 1) > 1 and weight.shape is not None and weight.shape[1] == 1
    return not depthwise and read.dtype == np.uint8 and plan.weights[str(weight.name)].dtype == np.int8
