"""Scales for each channel of an activation, moved into the weights on both sides of it.

A depthwise Conv reads each channel alone, and the Conv before makes each by a row of its weight. So

    y_c = Σ (s_c·(q_c − z))·w_c  =  Σ (S·(q_c − z))·(w_c·s_c/S),   and S/s_c times the row before makes S·(q_c − z)

with one scale S, the largest. All integers stay: of the activation, whose zero point all channels must share, and of
both weights. It is cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721) with factors that are given. NNCF
writes such scales for depthwise convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase, erase_unread
from graphopt.ir.edit import Names, add_initializer, replace_value
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine, Reals
from graphopt.quantization.doctor.clamps import absorbed, sole_reader
from graphopt.quantization.doctor.integral import pads_zeros
from graphopt.quantization.doctor.read import Reading
from graphopt.quantization.obstacles import BIAS, WEIGHT, clamp_of


def move_channel_scales(reading: Reading) -> int:
    """Give one scale to every activation whose neighbours can take the others; return how many there are."""
    names = Names(reading.model)
    return sum(_Channels(reading, names, value).move() for value in tuple(reading.values))


class _Channels:
    """One activation with a scale for each channel."""

    def __init__(self, reading: Reading, names: Names, value: ir.Value) -> None:
        self._reading = reading
        self._names = names
        self._value = value
        self._affine = reading.values[value]
        producer = value.producer()
        self._clamp = producer if producer is not None and clamp_of(producer) is not None else None
        self._maker = producer if self._clamp is None else _producer(self._clamp.inputs[0])

    def move(self) -> bool:
        """Do so where all is as it must be."""
        zeros, maker, readers = self._affine.zero_point, self._maker, list(_readers(self._value))
        if self._affine.axis != 1 or np.unique(zeros).size != 1 or self._value in self._reading.unrounded:
            return False
        if maker is None or not self._makes(maker) or not readers or not all(map(self._reads, readers)):
            return False
        scale = np.asarray(self._affine.scale.max())
        factor = self._affine.scale.astype(np.float64) / scale
        if self._clamp is not None:
            made = maker.outputs[0]
            replace_value(self._value, made)
            del self._reading.values[self._value]
            erase_unread(erase(self._clamp))
            self._value = made
        self._reading.values[self._value] = Affine(scale, np.asarray(zeros[0]))
        self._scale(maker, 1 / factor)
        for reader in readers:
            self._scale(reader, factor)
        return True

    def _makes(self, node: ir.Node) -> bool:
        """Whether a Conv with known weights alone makes the activation, and saturation does what a clamp would."""
        if not is_op(node, "Conv") or not self._is_known(node):
            return False
        made, clamp = node.outputs[0], self._clamp
        if clamp is None:
            return True
        return made not in self._reading.values and sole_reader(made) is clamp and absorbed(clamp, self._affine)

    def _reads(self, node: ir.Node) -> bool:
        """Whether a node is a Conv that reads each channel alone."""
        if not is_op(node, "Conv") or not self._is_known(node):
            return False
        groups, weight = node.attributes.get_int("group", 1), node.inputs[WEIGHT]
        return weight is not None and groups == self._affine.scale.size and self._reading.integers[weight].shape[1] == 1

    def _is_known(self, node: ir.Node) -> bool:
        weight, bias = node.inputs[WEIGHT], node.inputs[BIAS] if len(node.inputs) > BIAS else None
        affine = self._reading.weights.get(weight) if weight is not None else None
        return affine is not None and affine.axis in {None, 0} and (bias is None or constant(bias) is not None)

    def _scale(self, node: ir.Node, factor: Reals) -> None:
        """Multiply what a Conv makes of given integers: its weight for readers, with its bias for the maker."""
        weight = node.inputs[WEIGHT]
        if weight is None:
            return
        affine, integers = self._reading.weights[weight], self._reading.integers[weight]
        count = integers.shape[0]
        repeated = np.repeat(factor, count // factor.size)
        scale = (np.broadcast_to(affine.scale, count) * repeated).astype(np.float32)
        new = Affine(scale, np.array(np.broadcast_to(affine.zero_point, count)), 0)
        held = self._add(str(weight.name), new.dequantize(integers))
        self._reading.weights[held], self._reading.integers[held] = new, integers
        node.replace_input_with(WEIGHT, held)
        bias = node.inputs[BIAS] if len(node.inputs) > BIAS else None
        array = constant(bias)
        if node is self._maker and bias is not None and array is not None:
            node.replace_input_with(
                BIAS, self._add(str(bias.name), (array.astype(np.float64) * factor).astype(np.float32))
            )
            erase_unread([bias])
        erase_unread([weight])

    def _add(self, name: str, array: Reals) -> ir.Value:
        return add_initializer(self._reading.model.graph, self._names.fresh(name), array)


def _readers(value: ir.Value) -> Iterator[ir.Node]:
    """Yield the readers of a value, behind what pads it with zeros, which have no scale, or takes maxima."""
    for node, index in value.uses():
        passes = index == 0 and not node.outputs[0].is_graph_output() and (pads_zeros(node) or is_op(node, "MaxPool"))
        if passes:
            yield from _readers(node.outputs[0])
        else:
            yield node


def _producer(value: ir.Value | None) -> ir.Node | None:
    return value.producer() if value is not None else None
