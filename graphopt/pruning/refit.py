"""A quick refit of layers that lost inputs, for trials: what is left makes up for what has left, in closed form.

With moments H = E[x xᵀ] of what a layer multiplies and kept columns k, W_k ← W H_:k (H_kk)⁻¹ is the least-squares fit
of what the whole weight makes of x (E. Frantar, D. Alistarh: Optimal brain compression, 2022, for sets of columns).
Layers are fitted to inputs as they were, so that nothing has to be run; `graphopt.pruning.recovery` fits them to what
they become.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.calibration.gram import Float64, Gram
from graphopt.ir.constants import constant
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.pruning.importance.moments import damped_moments
from graphopt.quantization.biases import bias_of
from graphopt.quantization.obstacles import BIAS, WEIGHT
from graphopt.quantization.rows import from_rows, to_rows, weight_of
from graphopt.tensors import Array

LARGEST_SIDE = 2304
"""The most columns of a layer that is refitted in each trial: twice as many take eight times as long."""


_Kept = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Layer:
    """What a layer multiplied before anything left.

    Attributes:
        rows: its weight, [G, R, K].
        moment: of its columns, about their mean where a bias takes that up, damped, [G, K, K].
        mean: of its columns, [G, K]; None where no bias takes it up.

    """

    rows: Float64
    moment: Float64
    mean: Float64 | None


class Refit:
    """Fits layers of masked copies of a model.

    Args:
        model: before anything left.
        grams: second moments by the first output of the layer.

    """

    def __init__(self, model: ir.Model, grams: Mapping[str, Gram]) -> None:
        self._layers: dict[str, _Layer] = {}
        self._recent: dict[str, list[tuple[_Kept, Float64]]] = {}
        for node in model.graph:
            weight, gram = weight_of(node), grams.get(str(node.outputs[0].name))
            if weight is not None and gram is not None and gram.count and not gram.is_diagonal:
                rows = to_rows(node, weight.astype(np.float64))
                if gram.moment.shape[1] == rows.shape[2] <= LARGEST_SIDE:
                    self._layers[str(node.outputs[0].name)] = _layer(node, rows, gram)

    def __call__(self, masked: ir.Model) -> None:
        """Fit, in place, the layers of a copy some of whose columns are zero now."""
        names = Names(masked)
        for node in list(masked.graph):
            layer, weight = self._layers.get(str(node.outputs[0].name)), weight_of(node)
            if layer is None or weight is None:
                continue
            rows = to_rows(node, weight.astype(np.float64))
            if (rows == layer.rows).all():
                continue
            fitted = self._fitted(str(node.outputs[0].name), layer, (rows != 0).any(axis=1))
            _put(masked.graph, node, WEIGHT, from_rows(node, fitted, weight.shape).astype(weight.dtype), names)
            bias = bias_of(node)
            if layer.mean is not None and bias is not None:
                shift = np.einsum("grk,gk->gr", layer.rows - fitted, layer.mean).reshape(-1)
                _put(masked.graph, node, BIAS, (bias + shift).astype(bias.dtype), names)

    def _fitted(self, name: str, layer: _Layer, kept: _Kept) -> Float64:
        """Return the rows of a layer whose other columns are zero; the last two are known, as trials differ little."""
        recent = self._recent.setdefault(name, [])
        for known, fitted in recent:
            if (known == kept).all():
                return fitted
        fitted = np.stack([_solution(*each) for each in zip(layer.rows, kept, layer.moment, strict=True)])
        self._recent[name] = [*recent[-1:], (kept, fitted)]
        return fitted


def _layer(node: ir.Node, rows: Float64, gram: Gram) -> _Layer:
    moment, mean = damped_moments(node, gram), gram.mean
    if _takes_up_means(node):
        return _Layer(rows, moment, mean)
    if not is_op(node, "MatMul"):  # whose moments are never about the mean
        moment = moment + mean[:, :, None] * mean[:, None, :]
    return _Layer(rows, moment, None)


def _takes_up_means(node: ir.Node) -> bool:
    bias = bias_of(node)
    if bias is None or is_op(node, "MatMul"):
        return False
    scales = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
    weight = weight_of(node)
    return scales == (1.0, 1.0) and weight is not None and bias.size == to_rows(node, weight)[..., 0].size


def _solution(whole: Float64, is_kept: _Kept, moment: Float64) -> Float64:
    """Return rows [R, K] that are zero but for kept columns [K], which are fitted to make what the whole ones do."""
    kept = np.flatnonzero(is_kept)
    fitted = np.zeros_like(whole)
    if kept.size:
        fitted[:, kept] = np.linalg.solve(moment[np.ix_(kept, kept)], moment[kept] @ whole.T).T
    return fitted


def _put(graph: ir.Graph, node: ir.Node, index: int, array: Array, names: Names) -> None:
    """Give a node another constant, its own where others read the old one."""
    value = node.inputs[index]
    if value is None or constant(value) is None:
        return
    if value.is_initializer() and len(value.uses()) == 1 and not value.is_graph_output():
        value.const_value = ir.tensor(array, name=value.name)
    else:
        node.replace_input_with(index, add_initializer(graph, names.fresh(f"{value.name}_fitted"), array))
