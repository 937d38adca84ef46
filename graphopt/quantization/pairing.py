"""An order of a layer's input channels in which no two neighbours saturate; see `graphopt.quantization.saturation`.

Which two channels may be neighbours is a graph, and an order is a perfect matching in it. Few channels have large
weights at the same tap of the same filter, so the graph is dense, and a greedy matching that serves those with the
fewest partners first succeeds wherever there is much choice. It may miss one where there is little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.quantization.chains import POOLS, Chain, Layer, find_chains
from graphopt.quantization.saturation import INT16, UINT8, Interval, products, reduction
from graphopt.tensors import Array

POINTWISE = frozenset("""
Abs Ceil Celu Clip Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Mish Neg Relu Selu Sigmoid Softplus
Softsign Sqrt Swish Tanh ThresholdedRelu
""".split())  # fmt: skip
"""The same for every channel."""

Mask = npt.NDArray[np.bool_]


def find_pairing(node: ir.Node, weight: Array, activations: Interval = UINT8) -> list[int] | None:
    """Return an order of a layer's input channels whose neighbours never saturate at any tap, or None.

    Channels of a group stay in it. An odd number of them pairs up across taps, and no order is looked for.

    Args:
        node: a Conv, Gemm or MatMul.
        weight: its integers.
        activations: those that the layer's input takes.

    """
    channels = weight.shape[1] if node.op_type == "Conv" else reduction(node, weight).shape[2]
    order: list[int] = []
    for terms in reduction(node, weight):
        found = None if channels % 2 else _matching(_partners(terms.reshape(-1, channels), activations))
        if found is None:
            return None
        order += (len(order) + np.array(found)).tolist()
    return order


def reorder_inputs(model: ir.Model, orders: Mapping[str, Sequence[int]]) -> list[str]:
    """Give layers their input channels in another order, by the name of their first output; return which could be.

    The layer that makes the channels makes them in that order, and depthwise convolutions between carry it on. A
    layer whose input others read too, or whose makers have groups, stays. The model is edited in place and computes
    the same numbers, but for the order of the terms of float sums.
    """
    chains = {chain.second.node: chain for chain in find_chains(model, POINTWISE | POOLS)}
    names, done = Names(model), []
    for chain in chains.values():
        output = str(chain.second.node.outputs[0].name)
        order, makers = np.asarray(orders.get(output, ()), np.int64), _makers(chain, chains)
        if not makers or not _fits(chain, order):
            continue
        _permute_columns(chain.second, order)
        for maker in makers:
            _permute_outputs(maker, order)
        for layer in (chain.second, *makers):
            layer.store(names)
        done.append(output)
    return done


def _partners(terms: npt.NDArray[np.int64], activations: Interval) -> Mask:
    """Return which channels may stand side by side: [channels, channels], from the weights [filters·taps, channels].

    A pair that leaves int16 has a product beyond half of it, so only such weights are looked at.
    """
    least, greatest = products(terms, activations)
    clash = np.zeros((terms.shape[1],) * 2, np.bool_)
    for channel in range(terms.shape[1]):
        high = greatest[greatest[:, channel] > INT16.max // 2]
        low = least[least[:, channel] < INT16.min // 2]
        clash[channel] = (high + high[:, [channel]] > INT16.max).any(0) | (low + low[:, [channel]] < INT16.min).any(0)
    return ~(clash | clash.T | np.eye(terms.shape[1], dtype=np.bool_))


def _matching(partners: Mask) -> list[int] | None:
    """Match each channel with one of its partners, the one with the fewest left first; None where one has none left."""
    left, degree = np.ones(len(partners), np.bool_), partners.sum(0)
    order: list[int] = []
    while left.any():
        first = int(np.where(left, degree, len(left)).argmin())
        free = partners[first] & left
        if not free.any():
            return None
        second = int(np.where(free, degree, len(left)).argmin())
        left[[first, second]] = False
        degree = degree - partners[first] - partners[second]
        order += [first, second]
    return order


def _makers(chain: Chain, chains: Mapping[ir.Node, Chain]) -> list[Layer]:
    """Return the layers whose outputs are to change their order together: depthwise ones, and one without groups."""
    makers = [chain.first]
    while _is_depthwise(makers[-1]):
        before = chains.get(makers[-1].node)
        if before is None or before.channels != chain.channels:
            return []
        makers.append(before.first)
    return makers if makers[-1].rows.shape[0] == 1 else []


def _is_depthwise(layer: Layer) -> bool:
    """Whether each group makes one channel; it reads one too where it reads as many as it makes."""
    groups, rows, _ = layer.rows.shape
    return bool(groups > 1 and rows == 1)


def _fits(chain: Chain, order: npt.NDArray[np.int64]) -> bool:
    """Whether an order is one of the chain's channels, each in the group of the second layer that reads it."""
    groups = chain.second.rows.shape[0]
    if sorted(order.tolist()) != list(range(chain.channels)):
        return False
    size = chain.channels // groups
    return bool((order // size == np.arange(chain.channels) // size).all())


def _permute_columns(layer: Layer, order: npt.NDArray[np.int64]) -> None:
    split = layer.by_inputs(len(order))
    within = order.reshape(split.shape[0], 1, -1, 1) % split.shape[2]
    layer.rows = np.take_along_axis(split, within, 2).reshape(layer.rows.shape)


def _permute_outputs(layer: Layer, order: npt.NDArray[np.int64]) -> None:
    shape = layer.rows.shape
    layer.rows = layer.rows.reshape(len(order), -1)[order].reshape(shape)
    layer.bias = None if layer.bias is None else layer.bias[..., order]
