"""Putting a chain in the place of a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Float64
from graphopt.errors import ModelError
from graphopt.factorization.chain import Chain, Stage
from graphopt.factorization.layer import Layer
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer, replace_value
from graphopt.ir.walk import label


def write(graph: ir.Graph, layer: Layer, chain: Chain, names: Names) -> None:
    """Let a chain compute what a layer did; its output keeps the name.

    Args:
        graph: that holds the layer's node.
        layer: as `layer_of` read it.
        chain: its replacement.
        names: those that are taken in the model.

    Raises:
        ModelError: a weight does not fit the type of the layer's.

    """
    writer = _Writer(graph, layer, names)
    value = layer.node.inputs[0]
    for stage, weight in zip(chain.stages[:-1], chain.weights, strict=False):
        value = writer.add(stage, weight, value)
    _replace(layer.node, writer.add(chain.stages[-1], chain.weights[-1], value, chain.shift))


class _Writer:
    """Adds nodes before that of a layer."""

    def __init__(self, graph: ir.Graph, layer: Layer, names: Names) -> None:
        self._graph, self._layer, self._names = graph, layer, names
        self._is_matrix = not layer.kernel
        self._dtype = layer.node.inputs[1].dtype if layer.node.inputs[1] is not None else None

    def add(self, stage: Stage, weight: Float64, value: ir.Value | None, shift: Float64 | None = None) -> ir.Value:
        """Add one stage and return what it makes; the last one has a shift, and the layer's bias."""
        node, is_last = self._layer.node, shift is not None
        is_first = value is node.inputs[0]
        inputs = [value, self._constant("weight", weight.T if self._is_matrix else weight)]
        inputs.extend(() if shift is None else self._bias(shift))
        attributes = self._matrix_attributes(is_first, is_last) if self._is_matrix else self._conv_attributes(stage)
        made = ir.node(node.op_type, inputs, attributes, num_outputs=1)
        made.metadata_props.update(node.metadata_props)
        node.prepend(made)
        output = made.outputs[0]
        output.name = self._names.fresh(f"{self._layer.name}_factor")
        made.name, output.type = output.name, node.outputs[0].type
        return output

    def _bias(self, shift: Float64) -> list[ir.Value | None]:
        layer = self._layer
        if layer.takes_bias and (layer.bias is not None or shift.any()):
            return [self._constant("bias", shift if layer.bias is None else shift + layer.bias)]
        return list(layer.node.inputs[2:])

    def _matrix_attributes(self, is_first: bool, is_last: bool) -> dict[str, int | float]:
        """Leave alpha to the weights; a bias that is no constant keeps its beta."""
        given = self._layer.node.attributes
        attributes: dict[str, int | float] = {}
        if is_first and given.get_int("transA", 0) == 1:
            attributes["transA"] = 1
        if is_last and not self._layer.takes_bias and "beta" in given:
            attributes["beta"] = given.get_float("beta", 1.0)
        return attributes

    def _conv_attributes(self, stage: Stage) -> dict[str, int | str | Sequence[int]]:
        given, rank = self._layer.node.attributes, len(self._layer.kernel)
        attributes: dict[str, int | str | Sequence[int]] = {"kernel_shape": stage.shape[2:]}
        if stage.groups > 1:
            attributes["group"] = stage.groups
        for name, default in (("strides", 1), ("dilations", 1), ("pads", 0)):
            numbers = given.get_ints(name, ())
            chosen = [n if index % rank in stage.axes else default for index, n in enumerate(numbers)]
            if any(n != default for n in chosen):
                attributes[name] = chosen
        automatic = given.get_string("auto_pad", "NOTSET")
        if automatic != "NOTSET" and stage.axes:
            attributes["auto_pad"] = automatic
        return attributes

    def _constant(self, ending: str, array: Float64) -> ir.Value:
        dtype = self._dtype if self._dtype is not None else ir.DataType.FLOAT
        with np.errstate(over="ignore"):
            rounded = array.astype(dtype.numpy())
        if not np.isfinite(rounded.astype(np.float64)).all():
            raise ModelError(
                f"a factor of {label(self._layer.node)} does not fit {dtype.name.lower()}; leave the layer out"
            )
        return add_initializer(self._graph, self._names.fresh(f"{self._layer.name}_factor_{ending}"), rounded)


def _replace(node: ir.Node, new: ir.Value) -> None:
    old, read = node.outputs[0], [value for value in node.inputs if value is not None]
    name, is_output = old.name, old.is_graph_output()
    new.shape = None if old.shape is None else old.shape.copy()
    replace_value(old, new)
    if not is_output:
        old.name, new.name = None, name
    if (producer := new.producer()) is not None:
        producer.name = node.name or name
    erase_unread((old, *read))
