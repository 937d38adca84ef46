"""When two nodes compute the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir

from graphopt.ir.traits import COMMUTATIVE, is_random
from graphopt.ir.walk import has_subgraphs, is_op, nodes_within
from passes.deduplicate.tensors import content_of

NodeKey = tuple[Hashable, ...]

# Their operators answer alike when asked alike, except for the random ones.
_PURE_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
# a + b + c rounds otherwise in another order; a + b does not.
_ROUNDS = frozenset({"Mean", "Sum"})
_GRAPHS = frozenset({ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS})


class NodeKeys:
    """Makes keys that equal nodes share, within a graph and those around it."""

    def __init__(self, model: ir.Model, opset_imports: Mapping[str, int]) -> None:
        self._functions = model.functions
        self._opset_imports = opset_imports
        self._pure: dict[ir.OperatorIdentifier, bool] = {}

    def of(self, node: ir.Node) -> NodeKey | None:
        """Return the key of a node, or None where it is to stay.

        An Identity that is left carries the name of an output. A DequantizeLinear belongs to its reader: backends take
        both as one operator on integers, if nothing else reads the real numbers between them.
        """
        if is_op(node, "DequantizeLinear", "Identity") or not node.outputs:
            return None
        return (
            node.op_identifier(),
            self._inputs(node),
            tuple(bool(value.name) for value in node.outputs),
            self._attributes(node),
        )

    def refusal(self, node: ir.Node) -> str | None:
        """Return why a node cannot give way to one with the same key, or None."""
        if has_subgraphs(node):
            return "graphs inside of nodes are not compared"
        if not self._is_pure(node):
            return "it may answer differently each time"
        return None

    def _inputs(self, node: ir.Node) -> tuple[int, ...]:
        inputs = [0 if value is None else id(value) for value in node.inputs]
        if is_op(node, *COMMUTATIVE) and not (node.op_type in _ROUNDS and len(inputs) > 2):
            inputs.sort()
        return tuple(inputs)

    def _attributes(self, node: ir.Node) -> frozenset[tuple[str, Hashable]]:
        frozen = frozenset(
            (name, _frozen(attribute)) for name, attribute in node.attributes.items() if attribute.type not in _GRAPHS
        )
        return frozen - _defaults(node.op_type, node.domain, self._opset_imports.get(node.domain, 0))

    def _is_pure(self, node: ir.Node) -> bool:
        function = self._functions.get(node.op_identifier())
        if function is None:
            return node.domain in _PURE_DOMAINS and not is_random(node)
        identifier = function.identifier()
        if identifier not in self._pure:
            self._pure[identifier] = all(map(self._is_pure, nodes_within(function)))
        return self._pure[identifier]


@cache
def _defaults(op_type: str, domain: str, opset: int) -> frozenset[tuple[str, Hashable]]:
    """Return the attributes that say nothing when they are written."""
    try:
        schema = onnx.defs.get_schema(op_type, opset, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return frozenset()
    return frozenset(
        (name, _frozen(ir.from_proto(attribute.default_value)))
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type
    )


def _frozen(attribute: ir.Attr) -> Hashable:
    """Return the type and value of an attribute, equal only if every bit is."""
    if attribute.is_ref():
        return attribute.type, "reference", attribute.ref_attr_name
    match attribute.type:
        case ir.AttributeType.TENSOR:
            return attribute.type, content_of(attribute.as_tensor())
        case ir.AttributeType.TENSORS:
            return attribute.type, tuple(map(content_of, attribute.as_tensors()))
        case ir.AttributeType.FLOAT | ir.AttributeType.FLOATS:
            return attribute.type, np.asarray(attribute.value, np.float32).tobytes()
        case ir.AttributeType.INTS | ir.AttributeType.STRINGS:
            return attribute.type, tuple(attribute.value)
        case ir.AttributeType.INT | ir.AttributeType.STRING:
            return attribute.type, attribute.value
        case _:
            return attribute.type, repr(attribute.value)
