"""Moving a model to another version of `ai.onnx`: node by node, by ONNX's own version converter.

The converter of onnx copies whole models through C++, weights and all, and knows no functions. What changes,
though, changes within a node. So each node whose operator differs between the two versions is converted as a
model of its own, and what the converter answers takes its place, in subgraphs and functions as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import onnx
import onnx.helper
import onnx_ir as ir
from onnx import version_converter

from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.ir.dead import erase, is_unread
from graphopt.ir.edit import Names
from graphopt.ir.operators import (
    NEWEST_OPSET,
    OLDEST_OPSET,
    check_node,
    check_types,
    is_new_default,
    makes,
    since_version,
)
from graphopt.ir.opset_corrections import correct, obstacle, stand_in
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.skeleton import KEPT_BYTES
from graphopt.ir.traits import has_references, is_standard
from graphopt.ir.walk import has_subgraphs, is_op, label

CONVERTER_FAILURES = (RuntimeError, version_converter.ConvertError)
_IR_VERSION = 10


class Replacement(NamedTuple):
    """What a node becomes: new nodes in order, the constants they read, and the values that keep their names."""

    node: ir.Node
    nodes: Sequence[ir.Node]
    constants: Sequence[ir.Value]
    outputs: Sequence[ir.Value]


def convert_opset(model: ir.Model, version: int) -> int:
    """Move a model to `version` of `ai.onnx`, in place; return how many imports and nodes changed.

    Inputs and outputs keep their names and order, and the answers stay. Types and shapes are inferred where
    a node changes, since the meaning of some attributes hangs on the rank.

    Raises:
        ModelError: a version that onnx does not know, or a node that has no equal there; the graph is as it
            was then.

    """
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise ModelError(f"opset {version} is outside of {OLDEST_OPSET} to {NEWEST_OPSET}; choose one of these")
    imports = [model.opset_imports, *(function.opset_imports for function in model.functions.values())]
    outdated = [owner for owner in imports if owner.get("", version) != version]
    if not outdated:
        return 0
    replacements = _plan(model, version)
    names = Names(model)
    for replacement in replacements:
        _apply(replacement, names)
    for owner in outdated:
        owner[""] = version
    oldest = onnx.helper.find_min_ir_version_for(
        [onnx.helper.make_opsetid(domain, number) for domain, number in model.opset_imports.items()],
        ignore_unknown=True,
    )
    model.ir_version = max(model.ir_version, oldest)
    return len(outdated) + len(replacements)


def _plan(model: ir.Model, version: int) -> list[Replacement]:
    """Convert every node that has to change, and check all of them at `version`, before any is touched."""
    versions = {model.graph: model.opset_imports.get("", version)}
    versions |= {function.graph: function.opset_imports.get("", version) for function in model.functions.values()}
    if any(_changes(node, versions.get(model.graph, version), version) for node in model.graph.all_nodes()):
        infer_shapes(model)
    planned: list[Replacement] = []
    try:
        for root, current in versions.items():
            for node in root.all_nodes():
                replacement = _convert(node, current, version) if _changes(node, current, version) else None
                if replacement is not None:
                    planned.append(replacement)
                for result in (node,) if replacement is None else replacement.nodes:
                    _check(result, node, model, version)
    except ModelError:
        _detach(new for replacement in planned for new in replacement.nodes)
        raise
    return planned


def _detach(unused: Iterable[ir.Node]) -> None:
    """Take nodes that will not stand in the graph out of the readers of its values."""
    for node in unused:
        for index in range(len(node.inputs)):
            node.replace_input_with(index, None)


def _changes(node: ir.Node, current: int, version: int) -> bool:
    return is_standard(node) and since_version(node.op_type, current) != since_version(node.op_type, version)


def _check(result: ir.Node, origin: ir.Node, model: ir.Model, version: int) -> None:
    imports = {**model.opset_imports, "": version}
    try:
        check_node(result, imports | {result.domain: imports.get(result.domain, 1)}, model.functions)
        check_types(result, version)
        _check_outputs(result, origin, version)
    except ModelError as error:
        raise ModelError(f"node {label(origin)} has no equal in opset {version}: {error}") from error


def _check_outputs(result: ir.Node, origin: ir.Node, version: int) -> None:
    """Refuse a node of the same operator that cannot make what is read of it; raises ModelError."""
    if not is_standard(result) or result.op_type != origin.op_type or len(result.outputs) != len(origin.outputs):
        return
    for index, value in enumerate(origin.outputs):
        if value.type is not None and not is_unread(value) and not makes(result, index, value.type, version):
            raise ModelError(f"{result.op_type} makes no {value.type} as its output {index} in opset {version}")


def _convert(node: ir.Node, current: int, version: int) -> Replacement | None:
    """Return what a node becomes, or None where it may stay as it is."""
    if reason := obstacle(node, current, version):
        raise ModelError(f"node {label(node)} {reason}; export the model at another opset")
    if has_subgraphs(node) or is_op(node, "Constant"):
        return None
    inputs, outputs = _numbered(node.inputs, "i"), _numbered(node.outputs, "o")
    if version < current:
        lean = _without_defaults(node, current, version)
        if _means_the_same(lean, inputs, version, current):
            return None if lean is node else Replacement(node, [lean], [], lean.outputs)
        if lean is not node:
            _detach([lean])
    try:
        converted = _converted(node, inputs, current, version)
    except CONVERTER_FAILURES as error:
        reason = " ".join(str(error).split()).rpartition("` failed: ")[2].rstrip(".")  # without its source line
        raise ModelError(
            f"node {label(node)} does not convert from opset {current} to {version} ({reason}); export the model anew"
        ) from error
    if list(converted.node) == list(_alone(node, inputs, current).graph.node):
        return None
    if has_references(node):
        raise ModelError(
            f"node {label(node)} differs in opset {version} and takes attributes from the caller of its function; "
            "inline the function first"
        )
    return _read_back(node, converted, {name: value for value, name in inputs.items()}, list(outputs.values()))


def _without_defaults(node: ir.Node, current: int, version: int) -> ir.Node:
    """Return a node without the attributes that `version` does not know and that say no more than the default."""
    kept = [
        item for name, item in node.attributes.items() if not is_new_default(node.op_type, name, item, current, version)
    ]
    if len(kept) == len(node.attributes):
        return node
    lean = ir.Node(node.domain, node.op_type, node.inputs, kept, num_outputs=len(node.outputs))
    for value, output in zip(node.outputs, lean.outputs, strict=True):
        output.name, output.type, output.shape = value.name, value.type, value.shape
    return lean


def _means_the_same(node: ir.Node, inputs: Mapping[ir.Value, str], older: int, newer: int) -> bool:
    """Whether a node may be read at an older opset: the converter, going up, would leave it as it is.

    Downward the converter knows few operators; upward it knows all, and nearly every change is of types alone.
    """
    try:
        return list(_converted(node, inputs, older, newer).node) == list(_alone(node, inputs, older).graph.node)
    except CONVERTER_FAILURES:
        return False


def _converted(node: ir.Node, inputs: Mapping[ir.Value, str], current: int, version: int) -> onnx.GraphProto:
    proto = _alone(node, inputs, current)
    stand_in(proto.graph.node[0])
    graph = version_converter.convert_version(proto, version).graph
    correct(node.op_type, graph.node, current, version)
    return graph


def _numbered(values: Sequence[ir.Value | None], prefix: str) -> dict[ir.Value, str]:
    return {value: f"{prefix}{index}" for index, value in enumerate(dict.fromkeys(values)) if value is not None}


def _alone(node: ir.Node, inputs: Mapping[ir.Value, str], opset: int) -> onnx.ModelProto:
    """Return a node as a model; small constants are initializers of it, references to a caller are left out."""
    given = {value: ir.Value(name=name, type=value.type, shape=value.shape) for value, name in inputs.items()}
    attributes = [attribute for attribute in node.attributes.values() if not attribute.is_ref()]
    operands = [None if value is None else given[value] for value in node.inputs]
    copy = ir.Node(node.domain, node.op_type, operands, attributes, num_outputs=len(node.outputs), name="n")
    for index, (value, output) in enumerate(zip(node.outputs, copy.outputs, strict=True)):
        output.name = f"o{index}" if value.name else ""
        output.type, output.shape = value.type, value.shape
    graph = ir.Graph(
        list(given.values()),
        [output for output in copy.outputs if output.name],
        nodes=[copy],
        opset_imports={"": opset},
        name="alone",
    )
    for value, standin in given.items():
        tensor = constant_tensor(value)
        if tensor is not None and tensor.dtype is not ir.DataType.STRING and tensor.nbytes <= KEPT_BYTES:
            standin.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=standin.name)
            graph.inputs.remove(standin)
            graph.register_initializer(standin)
    return ir.to_proto(ir.Model(graph, ir_version=_IR_VERSION))


def _read_back(
    node: ir.Node, converted: onnx.GraphProto, inputs: Mapping[str, ir.Value], outputs: Sequence[str]
) -> Replacement:
    """Represent the converter's answer as nodes that read what `node` reads."""
    graph = ir.from_proto(converted)
    constants = []
    for value in (*graph.inputs, *graph.initializers.values()):
        known = inputs.get(value.name or "")
        if known is not None:
            value.replace_all_uses_with(known, replace_graph_outputs=True)
        else:
            constants.append(value)
    made = {value.name: value for result in graph for value in result.outputs}
    produced = list(graph)
    graph.outputs.clear()
    graph.remove(produced)
    graph.initializers.clear()
    return Replacement(node, produced, constants, [made[name] for name in outputs])


def _apply(replacement: Replacement, names: Names) -> None:
    node = replacement.node
    base = next((value.name for value in node.outputs if value.name), node.op_type)
    results = set(replacement.outputs)
    for new in replacement.nodes:
        for value in new.outputs:
            if value not in results and value.name:
                value.name = names.fresh(f"{base}_{new.op_type.lower()}")
        new.name = node.name if new is replacement.outputs[0].producer() else ""
        new.metadata_props.update(node.metadata_props)
    constants = [_constant_node(value, names.fresh(f"{base}_constant")) for value in replacement.constants]
    node.prepend([*constants, *replacement.nodes])
    for old, new_value in zip(node.outputs, replacement.outputs, strict=True):
        name, old.name = old.name, None
        new_value.name, new_value.shape = name, old.shape
        new_value.type = None if is_unread(old) else old.type
        old.replace_all_uses_with(new_value, replace_graph_outputs=True)
    erase(node)


def _constant_node(value: ir.Value, name: str) -> ir.Node:
    """Return a Constant in place of an initializer, since a function has none."""
    if value.const_value is None:
        raise ValueError(f"{value.name!r} has no content")
    made = ir.node("Constant", [], {"value": value.const_value})
    output = made.outputs[0]
    output.name, output.type, output.shape = name, value.type, value.shape
    value.replace_all_uses_with(output)
    return made
