"""Moving scale between layers, so that the channels of weights, or of activations, are about equally wide.

Across an operator with f(s·x) = s·f(x), s > 0, a channel may be divided by s in the layer that makes it and multiplied
by s in the layer that reads it: W₂ f(W₁ x + b₁) = W₂ S f(S⁻¹ W₁ x + S⁻¹ b₁). One scale for a whole tensor then fits
every channel, and the network computes the same numbers, but for float32's rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx_ir as ir

from graphopt.errors import CalibrationError
from graphopt.ir.edit import Names
from graphopt.ir.walk import is_op, label
from graphopt.quantization.chains import HOMOGENEOUS, POOLS, Chain, find_chains
from graphopt.quantization.obstacles import clamp_of
from graphopt.quantization.rows import Float64
from graphopt.tensors import Array

_SWEEPS = 50
_SETTLED = 1e-3  # of a scale's distance from 1: far below what a step of an 8-bit integer tells apart
_LARGEST_SCALE = 1024.0  # no channel becomes so small or large that float32 loses it


def equalize(model: ir.Model) -> int:
    """Make channels of the weights on both sides of a chain equally wide; return how many chains were changed.

    Scales are s = √(r₁ / r₂), r₁ and r₂ the largest magnitudes of a channel in the first and the second weight, sweep
    after sweep until they settle (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", section 4.1). A channel that is zero on either side stays. The model is edited in place.
    """
    chains = find_chains(model, HOMOGENEOUS | POOLS)
    total = {chain: np.ones(chain.channels) for chain in chains}
    for _ in range(_SWEEPS):
        furthest = 1.0
        for chain in chains:
            scale = _balance(np.abs(chain.first.rows).max(-1).ravel(), _widths_read(chain), 0.5)
            _move(chain, scale)
            total[chain] *= scale
            furthest = max(furthest, *scale, *(1 / scale))
        if furthest < 1 + _SETTLED:
            break
    return _store(model, (chain for chain, scale in total.items() if (np.abs(np.log(scale)) > _SETTLED).any()))


def migrate_scales(model: ir.Model, widths: Mapping[str, Array], strength: float = 0.5) -> int:
    """Move the width of activations' channels into the weights that read them; return how many chains were changed.

    Scales are s = a^strength / r^(1 - strength), a the width of a channel of the activation and r that of the weight
    (Xiao et al. 2023, "SmoothQuant"). The model is edited in place.

    Args:
        model: whose chains are changed.
        widths: of the channels of what a chain's first layer makes, [channels], by the name of the value that its
            second layer reads: largest magnitudes, or root mean squares from a Gram matrix (`channel_widths`). Chains
            whose value is not named stay.
        strength: 0 leaves widths to the activations, 1 to the weights.

    Raises:
        CalibrationError: the widths are not one for each channel.

    """
    changed = []
    for chain in find_chains(model, HOMOGENEOUS | POOLS):
        name = chain.value
        if name in widths:
            if widths[name].shape != (chain.channels,):
                given = f"{widths[name].size} widths are given for the {chain.channels} channels of {name!r}"
                raise CalibrationError(f"{given}; measure them on this model")
            _move(chain, _balance(widths[name].astype(np.float64), _widths_read(chain), strength))
            changed.append(chain)
    return _store(model, changed)


def channel_widths(moments: Float64, channels: int) -> Float64:
    """Return the root mean square of each of the channels that a layer reads, the taps of a window taken together.

    `moments` is the diagonal of the layer's Gram matrix, [groups, columns].
    """
    return np.asarray(np.sqrt(moments.reshape(channels, -1).mean(axis=1)))


def open_clips(model: ir.Model, outputs: Collection[str]) -> int:
    """Make a Relu of each Clip named by its output, whose upper bound is never reached; return how many.

    Each channel scaled would need an upper bound of its own, so `equalize` stops at a Clip. That no sample reached
    the bound is no proof that none will: it is the caller who names them. The model is edited in place.

    Raises:
        CalibrationError: a name is not that of the output of a Clip from 0 upwards.

    """
    made = {str(node.outputs[0].name): node for node in model.graph if is_op(node, "Clip")}
    for name in outputs:
        bounds = clamp_of(made.get(name))
        if bounds is None or bounds[0] != 0:
            found = label(made[name]) + " is not one from 0" if name in made else "no Clip makes it"
            raise CalibrationError(f"value {name!r} cannot be unbounded: {found}; name outputs of Clips from 0 upwards")
    for name in outputs:
        node = made[name]
        node.op_type = "Relu"
        node.resize_inputs(1)
        for bound in ("min", "max"):
            node.attributes.pop(bound, None)
    return len(outputs)


def _widths_read(chain: Chain) -> Float64:
    """Return the largest magnitude of each channel in the weight of the second layer."""
    split = np.abs(chain.second.by_inputs(chain.channels))
    return np.asarray(split.max(axis=(1, 3)).ravel())


def _balance(made: Float64, read: Float64, strength: float) -> Float64:
    """Return by what to divide each channel where it is made; 1 where it is zero on either side."""
    alive = (made > 0) & (read > 0)
    scale = np.where(alive, made, 1) ** strength / np.where(alive, read, 1) ** (1 - strength)
    return np.where(alive, np.clip(scale, 1 / _LARGEST_SCALE, _LARGEST_SCALE), 1.0)


def _move(chain: Chain, scale: Float64) -> None:
    chain.first.scale_outputs(1 / scale)
    chain.second.scale_inputs(scale)


def _store(model: ir.Model, chains: Iterable[Chain]) -> int:
    changed, names = list(chains), Names(model)
    for layer in dict.fromkeys(layer for chain in changed for layer in (chain.first, chain.second)):
        layer.store(names)
    return len(changed)
