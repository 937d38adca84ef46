"""Which layers of a changed model are fitted to what of the original, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.calibration.operands import Operand, operand_of
from graphopt.calibration.window import Float32
from graphopt.coupling.groups import IntArray, Place
from graphopt.ir.constants import is_constant
from graphopt.ir.walk import is_op, label, reads
from graphopt.pruning.recovery.normalization import is_normalization, normalized_by
from graphopt.pruning.recovery.transposed import is_transposed, transposed_by
from graphopt.quantization.rows import weight_of
from graphopt.tensors import Array


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of the changed model, and what it shall make.

    Attributes:
        node: a Conv, ConvTranspose, Gemm or MatMul with a constant weight that nothing else reads, or a
            BatchNormalization.
        operand: what it multiplies or normalizes, a value of the changed model.
        target: a value of the original: what the layer made there, or the sum that it was added to; of a
            normalization, what it normalized there.
        kept: which channels of the target the layer still has; None for all.
        beside: the other term of that sum, a value of the changed model. What it lacks of the original's, the layer
            makes up for; None where the layer has a target of its own.

    """

    node: ir.Node
    operand: Operand
    target: str
    kept: IntArray | None
    beside: str | None

    @property
    def name(self) -> str:
        """The name of its output."""
        return str(self.node.outputs[0].name)

    @property
    def reads(self) -> set[str]:
        """The values of the changed model that it is fitted by."""
        return {self.operand.value} if self.beside is None else {self.operand.value, self.beside}

    def targets(self, made: Array, beside: Array | None) -> Float32:
        """Return what the layer shall make, [groups, rows, columns], from values of one batch."""
        is_matrix = is_op(self.node, "Gemm", "MatMul")
        axis = made.ndim - 1 if is_matrix else 1
        wanted: Float32 = (made if self.kept is None else made.take(self.kept, axis)).astype(np.float32, copy=False)
        if beside is not None:
            wanted = wanted - beside.astype(np.float32, copy=False)
        if is_matrix:
            return wanted.reshape(-1, wanted.shape[-1]).T[None]
        samples, channels = wanted.shape[:2]
        groups = channels if is_normalization(self.node) else self.node.attributes.get_int("group", 1)
        return (
            wanted.reshape(samples, groups, channels // groups, -1)
            .transpose(1, 2, 0, 3)
            .reshape(groups, channels // groups, -1)
        )


def in_order(original: ir.Model, changed: ir.Model, kept: Mapping[Place, IntArray]) -> list[list[Layer]]:
    """Return the layers of a changed model in steps: those of one multiply only what earlier steps have made.

    Args:
        original: what the targets are values of.
        changed: a model with values of the same names.
        kept: where an axis of a value is shorter in the changed model: the indices that it still has.

    """
    known = {str(value.name): value for node in original.graph for value in node.outputs}
    layers = {node: known[_name(node)] for node in changed.graph if _is_layer(node, known.get(_name(node)))}
    levels = _levels(changed.graph, layers)
    steps: dict[int, list[Layer]] = {}
    for node, made in layers.items():
        level = levels[node.outputs[0]] - 1
        steps.setdefault(level, []).append(_layer(node, made, known, kept, _sum_of(node, levels, level)))
    return [steps[level] for level in sorted(steps)]


def _layer(
    node: ir.Node, made: ir.Value, known: Mapping[str, ir.Value], kept: Mapping[Place, IntArray], total: ir.Node | None
) -> Layer:
    """Return a layer, which made a value in the original, and is added to another where `total` is given."""
    producer = made.producer()
    if is_normalization(node) and producer is not None and producer.inputs[0] is not None:
        source = str(producer.inputs[0].name)
        return Layer(node, normalized_by(node), source, kept.get((source, 1)), None)
    beside = None
    if total is not None and _name(total) in known:
        made, beside = known[_name(total)], str(_other(total, node).name)
    axis = len(made.shape or ()) - 1 if is_op(node, "Gemm", "MatMul") else 1
    return Layer(node, _operand(node), str(made.name), kept.get((str(made.name), axis)), beside)


def _operand(node: ir.Node) -> Operand:
    weight = node.inputs[1]
    if is_transposed(node) and weight is not None and weight.shape is not None:
        return transposed_by(node, weight.shape.numpy()[2:])
    return operand_of(node)


def _name(node: ir.Node) -> str:
    return str(node.outputs[0].name) if node.outputs else ""


def _is_layer(node: ir.Node, made: ir.Value | None) -> bool:
    """Whether a node can be fitted to what made a value of the same name in the original."""
    producer = made.producer() if made is not None else None
    if producer is None or is_normalization(node):
        return producer is not None and is_normalization(producer)
    if not (is_op(node, "Conv", "Gemm", "MatMul") or is_transposed(node)) or weight_of(node) is None:
        return False
    weight = node.inputs[1]
    return weight is not None and len(weight.uses()) == 1 and _adds_vector(node)


def _adds_vector(node: ir.Node) -> bool:
    """Whether what a Gemm adds is a constant, equal for all its rows, or nothing (ONNX operator spec, Gemm-13)."""
    if not is_op(node, "Gemm") or len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    shape = node.inputs[2].shape
    is_vector = shape is not None and (len(shape) < 2 or shape[0] == 1)
    return is_constant(node.inputs[2]) and is_vector and node.attributes.get_float("beta", 1.0) != 0


def _levels(graph: ir.Graph, layers: Collection[ir.Node]) -> dict[ir.Value, int]:
    """Return how many layers lie one behind the other before a value at most, its own included."""
    levels: dict[ir.Value, int] = {}
    for node in graph:
        level = max((levels.get(value, 0) for value in reads(node)), default=0) + (node in layers)
        levels.update(dict.fromkeys(node.outputs, level))
    return levels


def _sum_of(node: ir.Node, levels: Mapping[ir.Value, int], level: int) -> ir.Node | None:
    """Return the Add that alone reads a layer, where its other term is as large, and made by the steps before."""
    value = node.outputs[0]
    readers = [use.node for use in value.uses()]
    if len(readers) != 1 or value.is_graph_output() or not is_op(readers[0], "Add"):
        return None
    other = _other(readers[0], node)
    is_like = value.shape is not None and other.shape == value.shape and not is_constant(other) and other is not value
    return readers[0] if is_like and levels.get(other, 0) <= level else None


def _other(total: ir.Node, node: ir.Node) -> ir.Value:
    first, second = total.inputs
    other = second if first is node.outputs[0] else first
    if other is None:
        raise ValueError(f"an input of {label(total)} is left out")
    return other
