"""Which channels of a model can only leave together: the rules asked, node by node, and what follows from all of them.

The idea is that of DepGraph (Fang et al., Towards Any Structural Pruning, 2023), on single indices of axes instead of
whole layers, so that what concatenates, splits, reshapes and shuffles channels needs no case of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from graphopt.coupling.collect import collect
from graphopt.coupling.groups import Coupling, name_of_operand
from graphopt.coupling.rules.table import RULES
from graphopt.coupling.site import Findings, Operand, Site
from graphopt.ir.constants import constant_tensor
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.traits import is_random, is_standard
from graphopt.ir.walk import has_subgraphs, is_op, label, reads

Shapes = Mapping[str, ir.Shape]


def couple(model: ir.Model) -> Coupling:
    """Find the groups of channels that can leave a model; the model stays as it is.

    Channels begin at the weights that make them and end at those that sum over them. Between these, every operator must
    compute each channel from that channel alone; what does not, and what is not known to, keeps what it touches. Values
    of the main graph are looked at, with the sizes that inference finds.

    Raises:
        ModelError: the shapes of the model contradict each other.

    """
    findings = Findings()
    _Walk(model, findings).visit()
    _decide(findings)
    return collect(model.graph, findings)


class _Walk:
    """Asks the rule of each node."""

    def __init__(self, model: ir.Model, findings: Findings) -> None:
        self._graph = model.graph
        self._opset = model.opset_imports.get("", 0)
        self._findings = findings
        self._shapes = _inferred(model)

    def visit(self) -> None:
        for value in self._graph.inputs:
            self._freeze(value, f"the caller gives {value.name!r}, an input of the model")
        for node in self._graph:
            if not is_op(node, "Constant"):
                self._ask(node)
        for value in self._graph.outputs:
            self._freeze(value, f"{value.name!r} is an output of the model")

    def _ask(self, node: ir.Node) -> None:
        inputs = tuple(self._input(node, index) for index in range(len(node.inputs)))
        outputs = tuple(None if value.name == "" else self._operand(value) for value in node.outputs)
        known = [operand for operand in (*inputs, *outputs) if operand is not None]
        given = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
        rule = RULES.get(node.op_type) if is_standard(node) and not is_random(node) else None
        if rule is None:
            self._freeze_all(node, _unknown(node))
        elif len(known) < len(given):
            self._freeze_all(node, "reads or makes a value of unknown rank")
        elif None in (*inputs[:1], *outputs[:1]):
            self._freeze_all(node, "leaves its first operand out")
        else:
            rule(Site(node, inputs, outputs, self._opset, self._findings))

    def _freeze_all(self, node: ir.Node, why: str) -> None:
        for value in (*reads(node), *node.outputs):
            self._freeze(value, f"{label(node)} {why}")

    def _input(self, node: ir.Node, index: int) -> Operand | None:
        value = node.inputs[index]
        return None if value is None else self._operand(value, name_of_operand(node, index))

    def _operand(self, value: ir.Value, name: str | None = None) -> Operand | None:
        """Return a value as an operand, its axes of known size added; None where its rank is not known."""
        tensor = constant_tensor(value)
        shape = self._shapes.get(str(value.name)) if tensor is None else tensor.shape
        if shape is None:
            return None
        operand = Operand(name or str(value.name), tuple(dim if isinstance(dim, int) else dim.value for dim in shape))
        for axis, size in enumerate(operand.shape):
            if isinstance(size, int):
                self._findings.positions.add((operand.name, axis), size)
        return operand

    def _freeze(self, value: ir.Value, why: str) -> None:
        operand = self._operand(value)
        for axis in range(0 if operand is None else operand.rank):
            if (str(value.name), axis) in self._findings.positions:
                self._findings.positions.freeze(self._findings.positions.at((str(value.name), axis)), why)


def _inferred(model: ir.Model) -> Shapes:
    copy = model.clone()
    infer_shapes(copy)
    values = (*copy.graph.inputs, *(value for node in copy.graph for value in node.outputs))
    return {str(value.name): value.shape for value in values if value.shape is not None}


def _unknown(node: ir.Node) -> str:
    if not is_standard(node):
        return f"is of the domain {node.domain!r}"
    if is_random(node):
        return "answers otherwise in each run"
    return "holds graphs of its own" if has_subgraphs(node) else "may mix channels"


def _decide(findings: Findings) -> None:
    """Settle the choices: all that can be told from what is known first, then the first of the others, and again."""
    pending = list(findings.undecided)
    while pending:
        news = [choice.narrow() for choice in pending]
        pending = [choice for choice in pending if not choice.decided]
        if pending and not any(news):
            pending.pop(0).decide()
