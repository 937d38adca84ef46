"""The same model in disguise: other names everywhere, nodes and initializers in another order."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import onnx


def disguised(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Return the model with every name another, dimensions' included, and its nodes in another topological order."""
    rng = Random(seed)  # noqa: S311  # nobody guesses names
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _disguise(copy.graph, {}, {}, rng)
    for function in copy.functions:
        names: dict[str, str] = {}
        for values in (function.input, function.output):
            values[:] = [_new(name, names, rng) for name in values]
        _rename_nodes(function.node, names, {}, rng)
        _shuffle(function.node, rng)
    return copy


def _disguise(graph: onnx.GraphProto, outer: dict[str, str], dims: dict[str, str], rng: Random) -> None:
    names = dict(outer)
    graph.name = f"g{rng.getrandbits(60)}"
    for info in (*graph.input, *graph.output):
        info.name = _new(info.name, names, rng)
        for dim in info.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = _new(dim.dim_param, dims, rng)
    for tensor in graph.initializer:
        tensor.name = _new(tensor.name, names, rng)
    _rename_nodes(graph.node, names, dims, rng)
    del graph.value_info[:]
    _shuffle(graph.node, rng)
    order = [tensor.SerializeToString() for tensor in graph.initializer]
    rng.shuffle(order)
    for tensor, data in zip(graph.initializer, order, strict=True):
        tensor.ParseFromString(data)


def _rename_nodes(nodes: list[onnx.NodeProto], names: dict[str, str], dims: dict[str, str], rng: Random) -> None:
    for node in nodes:
        node.name = f"n{rng.getrandbits(60)}"
        node.output[:] = [_new(name, names, rng) for name in node.output]
    for node in nodes:
        node.input[:] = [_new(name, names, rng) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _disguise(attribute.g, names, dims, rng)


def _new(name: str, names: dict[str, str], rng: Random) -> str:
    return names.setdefault(name, f"v{rng.getrandbits(60)}") if name else ""


def _shuffle(nodes: list[onnx.NodeProto], rng: Random) -> None:
    """Put nodes into a random order in which each comes after those that it reads."""
    waiting = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    made = {name for node in waiting for name in node.output}
    order: list[onnx.NodeProto] = []
    while waiting:
        ready = [index for index, node in enumerate(waiting) if made.isdisjoint(reads(node))]
        node = waiting.pop(rng.choice(ready))
        made.difference_update(node.output)
        order.append(node)
    for node, source in zip(nodes, order, strict=True):
        node.CopyFrom(source)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node and its subgraphs read."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from reads(inner)
        yield from (output.name for output in attribute.g.output)
