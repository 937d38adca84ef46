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
    for stage in chain.stages[:-1]:
        value = writer.add(stage, value)
    last = writer.add(chain.stages[-1], value, chain)
    _replace(layer.node, last)


class _Writer:
    """Adds nodes before that of a layer."""

    def __init__(self, graph: ir.Graph, layer: Layer, names: Names) -> None:
        self._graph, self._layer, self._names = graph, layer, names
        self._is_matrix = not layer.kernel
        self._dtype = layer.node.inputs[1].dtype if layer.node.inputs[1] is not None else None

    def add(self, stage: Stage, value: ir.Value | None, last: Chain | None = None) -> ir.Value:
        """Add one stage, with the layer's bias where it is the last, and return what it makes."""
        node, is_first = self._layer.node, value is self._layer.node.inputs[0]
        weight = stage.weight.T if self._is_matrix else stage.weight
        inputs = [value, self._constant("weight", weight)]
        if last is not None and self._layer.takes_bias and (self._layer.bias is not None or last.shift.any()):
            inputs.append(self._constant("bias", last.shift + (0 if self._layer.bias is None else self._layer.bias)))
        elif last is not None and len(node.inputs) > 2:
            inputs.append(node.inputs[2])
        attributes = self._matrix_attributes(is_first, last) if self._is_matrix else self._conv_attributes(stage)
        made = ir.node(node.op_type, inputs, attributes, num_outputs=1)
        made.metadata_props.update(node.metadata_props)
        node.prepend(made)
        output = made.outputs[0]
        output.name = self._names.fresh(f"{self._layer.name}_factor")
        made.name, output.type = output.name, node.outputs[0].type
        return output

    def _matrix_attributes(self, is_first: bool, last: Chain | None) -> dict[str, int | float]:
        """Leave alpha to the weights; a bias that is no constant keeps its beta."""
        given = self._layer.node.attributes
        attributes: dict[str, int | float] = {}
        if is_first and given.get_int("transA", 0) == 1:
            attributes["transA"] = 1
        if last is not None and not self._layer.takes_bias and "beta" in given:
            attributes["beta"] = given.get_float("beta", 1.0)
        return attributes

    def _conv_attributes(self, stage: Stage) -> dict[str, int | str | Sequence[int]]:
        given, rank = self._layer.node.attributes, len(self._layer.kernel)
        attributes: dict[str, int | str | Sequence[int]] = {"kernel_shape": stage.weight.shape[2:]}
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
