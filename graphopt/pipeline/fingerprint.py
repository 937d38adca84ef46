"""A cheap answer to: did anything in this model change?"""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.walk import scopes


def fingerprint(model: ir.Model) -> int:
    """Return a hash of structure, names, types and the identity of tensors and attributes.

    Equal before and after means untouched, within one process and as long as both states were alive: it
    looks at which objects stand where, not at the content of tensors.
    """
    parts: list[object] = [tuple(model.functions), tuple(model.opset_imports.items())]
    for scope in scopes(model):
        parts.append(tuple(map(id, scope.inputs)))
        parts.append(tuple(map(id, scope.outputs)))
        parts.extend((name, id(value.const_value)) for name, value in scope.initializers.items())
        parts.extend(map(_node_state, scope))
    return hash(tuple(parts))


def _node_state(node: ir.Node) -> object:
    return (
        id(node),
        node.op_type,
        node.domain,
        tuple(map(id, node.inputs)),
        tuple([(value.name, value.type, None if value.shape is None else value.shape.dims) for value in node.outputs]),
        tuple(map(id, node.attributes.data.values())),
    )
