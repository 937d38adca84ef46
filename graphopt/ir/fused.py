"""Kernels in the IR: functions of the domain `graphopt.fused`, and the way back to plain nodes."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from graphopt.ir.dead import erase
from graphopt.ir.edit import Names
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.walk import has_subgraphs, nested

DOMAIN = "graphopt.fused"
VERSION = 1


def kernels(model: ir.Model) -> list[ir.Function]:
    """Return the functions of a model that stand for kernels; others in the domain, foreign ones, are left alone."""
    return [function for function in model.functions.values() if function.domain == DOMAIN and _is_plain(function)]


def graphs_with_calls(model: ir.Model) -> Iterator[tuple[ir.Graph, dict[str, int]]]:
    """Yield the graphs of a model that may call kernels, each with the opsets in force there."""
    functions = (function for function in model.functions.values() if function.domain != DOMAIN)
    for root in (model.graph, *(function.graph for function in functions)):
        for graph in (root, *nested(root)):
            yield graph, root.opset_imports


def inline_kernels(model: ir.Model) -> int:
    """Put the nodes of kernels in the place of their calls; return how many calls there were.

    Values inside are named after the result, which keeps name, type and shape; theirs are inferred.

    Raises:
        ModelError: shapes contradict each other.

    """
    called = {function.identifier(): function for function in kernels(model)}
    if not called:
        return 0
    others = any(function.domain == DOMAIN for key, function in model.functions.items() if key not in called)
    names = Names(model)
    calls = 0
    for graph, imports in tuple(graphs_with_calls(model)):
        for node in graph:
            function = called.get(node.op_identifier())
            if function is not None:
                _inline(node, function, graph, names)
                calls += 1
        if not others:
            imports.pop(DOMAIN, None)
    for identifier in called:
        del model.functions[identifier]
    infer_shapes(model)
    return calls


def _is_plain(function: ir.Function) -> bool:
    """Whether a function has one output and no attributes, and each of its nodes one output and no graphs."""
    nodes = (len(node.outputs) == 1 and not has_subgraphs(node) for node in function)
    return len(function.outputs) == 1 and not function.attributes and all(nodes)


def _inline(call: ir.Node, function: ir.Function, graph: ir.Graph, names: Names) -> None:
    values: dict[ir.Value | None, ir.Value | None] = dict(zip(function.inputs, call.inputs, strict=False))
    old = call.outputs[0]
    for node in function:
        inputs = [values.get(value) for value in node.inputs]
        past = dict(call.metadata_props)
        copy = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=1, metadata_props=past)
        new = values[node.outputs[0]] = copy.outputs[0]
        if node.outputs[0] is function.outputs[0]:
            new.type, new.shape = old.type, old.shape
            old.name, new.name = None, old.name
            old.replace_all_uses_with(new, replace_graph_outputs=True)
        else:
            new.name = names.fresh(f"{old.name or 'kernel'}_{node.outputs[0].name}")
        copy.name = new.name
        graph.insert_before(call, copy)
    erase(call)
