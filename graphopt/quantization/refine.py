"""Making a plan's weights and biases fit the data: the layers' outputs count, not the weights.

For each layer in turn, from the moments of what it multiplies: the scales that cost its output least, where integers
are few; integers rounded with their errors made good by others (`graphopt.quantization.rounding`); and the bias that
takes away the mean of what is left, b + (W - Ŵ)·E[x] (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.2). As the bias looks after the mean, rounding looks after the deviation
from it: the covariance, where the layer has a bias.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Gram
from graphopt.ir.constants import constant
from graphopt.quantization.affine import Affine, Reals
from graphopt.quantization.biases import bias_name, bias_of
from graphopt.quantization.obstacles import BIASED, WEIGHT
from graphopt.quantization.plan import Plan
from graphopt.quantization.rounding import round_weight
from graphopt.quantization.rows import Float64, to_rows
from graphopt.quantization.scales import search_scales
from graphopt.quantization.scheme import Scheme
from graphopt.quantization.selection import Selection
from graphopt.quantization.unsaturate import round_where_safe
from graphopt.tensors import Array

MEASURED = frozenset({"Conv", "Gemm", "MatMul"})
"""The products whose operands calibration makes Gram matrices of."""

_FEW = 16  # integers; with more, no scale is better than that of the largest weight by much


def measurable(selection: Selection) -> list[str]:
    """Return the names, of first outputs, of the products that can be refined: those with a weight of their own."""
    readers = Counter(node.inputs[WEIGHT] for node in selection.products)
    return [
        str(node.outputs[0].name)
        for node in selection.products
        if node.op_type in MEASURED and readers[node.inputs[WEIGHT]] == 1
    ]


def refine(
    plan: Plan,
    selection: Selection,
    grams: Mapping[str, Gram],
    scheme: Scheme,
    on_layer: Callable[[int], None] | None = None,
) -> Plan:
    """Return a plan with the same activations, whose weights and biases fit what the layers multiply.

    Args:
        plan: for the same selection, with weights rounded to the nearest.
        selection: of nodes of a model.
        grams: of layers, by the name of their first output; others stay as they are.
        scheme: the integers of the plan.
        on_layer: told how many layers are done.

    """
    weights, integers, biases = dict(plan.weights), dict(plan.integers), dict(plan.biases)
    for done, node in enumerate(selection.products, start=1):
        gram, weight = grams.get(str(node.outputs[0].name)), node.inputs[WEIGHT]
        array = constant(weight)
        if gram is not None and weight is not None and array is not None:
            name, moment = str(weight.name), _moment(node, gram)
            weights[name] = _scales(node, array, weights[name], moment, scheme)
            integers[name] = _rounded(node, array, weights[name], moment, scheme)
            if node.op_type in BIASED:
                lost = array.astype(np.float64) - weights[name].dequantize(integers[name])
                biases[bias_name(node)] = _corrected(node, lost, gram)
        if on_layer:
            on_layer(done)
    return dataclasses.replace(plan, weights=weights, integers=integers, biases=biases)


def _moment(node: ir.Node, gram: Gram) -> Float64:
    """Return the covariance where a bias can take away the mean, and second moments about zero elsewhere."""
    return gram.spread(about_mean=node.op_type in BIASED)


def _scales(node: ir.Node, array: Array, affine: Affine, moment: Float64, scheme: Scheme) -> Affine:
    least, greatest = affine.limits
    if greatest - least >= _FEW or scheme.power_of_two:
        return affine
    return search_scales(node, array, affine, moment)


def _rounded(node: ir.Node, array: Array, affine: Affine, moment: Float64, scheme: Scheme) -> Array:
    integers = round_weight(node, array, affine, moment)
    if scheme.avoid_saturation and affine.dtype == np.int8:
        return round_where_safe(node, integers, array.astype(np.float32), affine)
    return integers


def _corrected(node: ir.Node, lost: Float64, gram: Gram) -> Reals:
    bias = bias_of(node)
    mean = (to_rows(node, lost) @ gram.mean[:, :, None]).reshape(-1)
    return np.asarray(mean if bias is None else mean + bias, np.float32)
