"""Moving scale between layers, so that the channels of weights are about equally wide.

Across an operator with f(s·x) = s·f(x), s > 0, a channel may be divided by s in the layer that makes it and multiplied
by s in the layer that reads it: W₂ f(W₁ x + b₁) = W₂ S f(S⁻¹ W₁ x + S⁻¹ b₁). One scale for a whole tensor then fits
every channel, and the network computes the same numbers, but for float32's rounding.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.quantization.chains import HOMOGENEOUS, POOLS, Chain, find_chains
from graphopt.quantization.rows import Float64

_SWEEPS = 50
_SETTLED = 1e-3  # of a scale's distance from 1: far below what a step of an 8-bit integer tells apart
_LARGEST_SCALE = 1024.0  # no channel becomes so small or large that float32 loses it


def equalize(model: ir.Model) -> list[Chain]:
    """Make channels of the weights on both sides of a chain equally wide; return the chains that were changed.

    Scales are s = √(r₁ / r₂), r₁ and r₂ the largest magnitudes of a channel in the first and the second weight, sweep
    after sweep until they settle (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", section 4.1). A channel that is zero on either side stays. The model is edited in place.
    """
    chains = find_chains(model, HOMOGENEOUS | POOLS)
    total = {chain: np.ones(chain.channels) for chain in chains}
    for _ in range(_SWEEPS):
        furthest = 1.0
        for chain in chains:
            scale = _balance(np.abs(chain.first.rows).max(-1).ravel(), _widths_read(chain))
            chain.first.scale_outputs(1 / scale)
            chain.second.scale_inputs(scale)
            total[chain] *= scale
            furthest = max(furthest, *scale, *(1 / scale))
        if furthest < 1 + _SETTLED:
            break
    changed = [chain for chain, scale in total.items() if (np.abs(np.log(scale)) > _SETTLED).any()]
    if changed:
        _store(model, chains)
    return changed


def _widths_read(chain: Chain) -> Float64:
    """Return the largest magnitude of each channel in the weight of the second layer."""
    split = np.abs(chain.second.by_inputs(chain.channels))
    return np.asarray(split.max(axis=(1, 3)).ravel())


def _balance(made: Float64, read: Float64) -> Float64:
    """Return by what to divide each channel where it is made; 1 where it is zero on either side."""
    alive = (made > 0) & (read > 0)
    scale = np.sqrt(np.where(alive, made, 1) / np.where(alive, read, 1))
    return np.where(alive, np.clip(scale, 1 / _LARGEST_SCALE, _LARGEST_SCALE), 1.0)


def _store(model: ir.Model, chains: Iterable[Chain]) -> None:
    names = Names(model)
    for layer in dict.fromkeys(layer for chain in chains for layer in (chain.first, chain.second)):
        layer.store(names)
