"""Moving the weights that are left so that each layer makes of a sparse network what it made of the whole one.

Elimination makes good for what a layer itself loses; this does for what those before it lost. Layer after layer, with
x what the layer multiplied in the original, x̂ what it multiplies now, and S its mask, the least squares of
W x - Ŵ x̂ under Ŵ = 0 outside of S are Ŵ_S = (W E[x x̂ᵀ])_S (E[x̂ x̂ᵀ]_SS)⁻¹, with means taken away where the layer has a
bias that can give them back (reconstruction as in He et al. 2017, "Channel pruning for accelerating very deep neural
networks", on weights). A ridge about the weights that are there keeps those that the data say nothing of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnx_ir as ir

from graphopt.calibration.batch import Batch
from graphopt.calibration.gram import LARGEST_SIDE, Gram
from graphopt.calibration.operands import operand_of
from graphopt.calibration.probe import Probe
from graphopt.calibration.products import Multiply, multiply_with
from graphopt.calibration.window import Float32
from graphopt.ir.edit import Names
from graphopt.quantization.biases import bias_of
from graphopt.quantization.mean_shift import shift_mean, takes_mean
from graphopt.quantization.refine import MEASURED
from graphopt.quantization.rows import Float64
from graphopt.quantization.weights import Weight, weights_of
from graphopt.sparsity.refit import solve
from graphopt.sparsity.thinning import LARGEST_SWEEP
from graphopt.tensors import Feeds

RIDGE = 0.01
"""The share of the mean of the diagonal that holds weights where they are."""

_LOOKED_AT = 2
"""How many columns of a block are taken for each element of one: neighbours in a picture tell little that is new."""


def recover(
    original: ir.Model,
    sparse: ir.Model,
    samples: Iterable[Feeds],
    *,
    threads: int = 0,
    on_layer: Callable[[int], None] | None = None,
) -> None:
    """Refit each weight that lost some, in place; its zeros stay.

    Both models run once on all samples for each such layer, up to that. Layers that share a weight, ConvTransposes and
    layers too wide to solve stay as they are.

    Args:
        original: the whole one.
        sparse: a copy with weights set to zero.
        samples: feeds, samples along the leading axis; gone through again for each layer.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_layer: told how many layers are done.

    """
    whole = {weight.name: weight for weight in weights_of(original)}
    names, multiply = Names(sparse), multiply_with(threads)
    for done, weight in enumerate(refittable(sparse), start=1):
        before = whole[weight.name]
        gram = _moments(original, sparse, before, samples, multiply, threads)
        if gram is not None:
            _refit(before, weight, gram, names)
        if on_layer:
            on_layer(done)


def refittable(sparse: ir.Model) -> list[Weight]:
    """Return the weights with zeros that one layer reads, and that can be solved for."""
    return [
        weight
        for weight in weights_of(sparse)
        if len(weight.nodes) == 1 and weight.nodes[0].op_type in MEASURED and _is_solvable(weight.rows)
    ]


def _is_solvable(rows: Float64) -> bool:
    columns = rows.shape[2]
    return bool((rows == 0).any()) and 2 * columns <= LARGEST_SIDE and rows.size * columns**2 <= LARGEST_SWEEP


def _refit(before: Weight, weight: Weight, gram: Gram, names: Names) -> None:
    node, rows, old = weight.nodes[0], weight.rows, before.rows
    size = rows.shape[2]
    about_mean = takes_mean(node, rows.shape[0] * rows.shape[1])
    mean = gram.mean if about_mean else np.zeros_like(gram.mean)
    spread = gram.moment - mean[:, :, None] * mean[:, None, :]
    cross, moment = spread[:, :size, size:], spread[:, size:, size:]
    share = RIDGE + size / gram.count  # the fewer columns, the less they say
    ridge = np.maximum(share * np.trace(moment, axis1=1, axis2=2) / size, np.finfo(np.float32).tiny)[:, None, None]
    fitted = solve(old @ cross + ridge * rows, rows != 0, moment + ridge * np.eye(size))
    weight.put(fitted)
    if about_mean:
        lost = (old @ mean[:, :size, None] - fitted @ mean[:, size:, None]).ravel()
        shift_mean(node, lost + _bias(before.nodes[0]) - _bias(node), names)


def _bias(node: ir.Node) -> Float64:
    bias = bias_of(node)
    return np.zeros(1) if bias is None else bias.astype(np.float64)


def _moments(
    original: ir.Model, sparse: ir.Model, weight: Weight, samples: Iterable[Feeds], multiply: Multiply, threads: int
) -> Gram | None:
    """Return the moments of what a layer multiplies in both models, one above the other: x, then x̂."""
    operand = operand_of(weight.nodes[0])
    probes = [Probe(model, [operand.value], threads) for model in (original, sparse)]
    rng = np.random.default_rng(0)
    gram: Gram | None = None
    for index, feeds in enumerate(samples):
        batch = Batch.of(feeds, index)
        (_, first), (_, second) = (next(iter(probe.run(batch))) for probe in probes)
        before, after = (operand.columns(values.astype(np.float32, copy=False)) for values in (first, second))
        for pair in zip(before, after, strict=True):
            columns = _some(*pair, rng)
            gram = gram or Gram(*columns.shape[:2])
            gram.add(columns, multiply)
    return gram


def _some(before: Float32, after: Float32, rng: np.random.Generator) -> Float32:
    """Return some columns of both, one above the other, [groups, 2K, columns]."""
    _, size, count = before.shape
    if count > _LOOKED_AT * size:
        chosen = np.sort(rng.choice(count, _LOOKED_AT * size, replace=False))
        before, after = before[..., chosen], after[..., chosen]
    return np.concatenate([before, after], axis=1)
