"""Moving what a channel has always, or almost always, out of an activation and into the bias of the layer behind it.

With c ≤ W₁ x + b₁ in every channel, relu(W₁ x + b₁) = relu(W₁ x + b₁ - c) + c, and the next layer adds W₂ c by its
bias: the activation's range gets narrower (Nagel et al. 2019, section 4.1.3). Without a Relu between, this is exact
for every c. With one it is exact for inputs whose channels are that large; c is taken so that few are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.ir.walk import is_op
from graphopt.quantization.chains import Chain, Layer, find_chains
from graphopt.quantization.rows import Float64

DEVIATIONS = 3.0
"""Of a channel's standard deviation, below its mean: 1 of 740 normally distributed numbers is smaller."""

_SHIFTED_ALIKE = frozenset({"GlobalAveragePool", "GlobalMaxPool", "Identity", "MaxPool", "Relu"})


class Moments(NamedTuple):
    """Mean and standard deviation of each channel that a layer makes, float64 [channels]."""

    mean: Float64
    deviation: Float64


def output_moments(layer: Layer, gram: Float64, mean: Float64) -> Moments:
    """Return the moments of what a layer makes, from those of what it multiplies.

    Args:
        layer: its rows and bias.
        gram: [groups, columns, columns], second moments of its inputs, about zero.
        mean: [groups, columns], their means.

    """
    covariance = gram - mean[:, :, None] * mean[:, None, :]
    variance = ((layer.rows @ covariance) * layer.rows).sum(-1).ravel()
    bias = np.zeros(layer.channels_out) if layer.bias is None else layer.bias
    return Moments((layer.rows @ mean[:, :, None]).ravel() + bias, np.sqrt(np.maximum(variance, 0)))


def absorb_biases(model: ir.Model, moments: Mapping[str, Moments], deviations: float = DEVIATIONS) -> int:
    """Move from each chain's value what its channels have but for `deviations` into the bias behind it.

    Returns how many chains were changed. A layer that pads its input with zeros cannot absorb, nor can one that has no
    bias, as MatMul. The model is edited in place, and behind a Relu it is another model by a little.

    Args:
        model: whose chains are changed.
        moments: by the name of the first layer's output. Chains whose output is not named stay.
        deviations: how many of them the absorbed part stays from the mean.

    """
    changed, names = 0, Names(model)
    for chain in find_chains(model, _SHIFTED_ALIKE):
        name = str(chain.first.node.outputs[0].name)
        if name not in moments or not (_has_plain_bias(chain.first) and _has_plain_bias(chain.second)):
            continue
        shift = _shift(chain, moments[name], deviations)
        if _pads(chain.second.node) or not shift.any():
            continue
        _add_to_bias(chain.first, -shift)
        split = chain.second.by_inputs(chain.channels)
        _add_to_bias(chain.second, (split.sum(-1) @ shift.reshape(split.shape[0], -1, 1)).ravel())
        chain.first.store(names)
        chain.second.store(names)
        changed += 1
    return changed


def _shift(chain: Chain, moments: Moments, deviations: float) -> Float64:
    """Return what each channel has always: above zero, or below it too where no Relu makes that zero."""
    margin = deviations * moments.deviation
    above = np.maximum(moments.mean - margin, 0)
    if any(is_op(node, "Relu") for node in chain.between):
        return above
    return np.asarray(above + np.minimum(moments.mean + margin, 0))


def _add_to_bias(layer: Layer, shift: Float64) -> None:
    layer.bias = shift if layer.bias is None else layer.bias + shift


def _has_plain_bias(layer: Layer) -> bool:
    """Whether a layer adds its third input, or would, as it is."""
    factors = (layer.node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    return is_op(layer.node, "Conv", "Gemm") and all(factor == 1 for factor in factors)


def _pads(node: ir.Node) -> bool:
    """Whether a convolution reads zeros beyond the borders of its input."""
    if not is_op(node, "Conv"):
        return False
    padding = node.attributes.get_string("auto_pad", "NOTSET")
    return padding.startswith("SAME") or any(node.attributes.get_ints("pads", ()))
