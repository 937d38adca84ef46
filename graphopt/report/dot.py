"""The last stage of a story in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from graphopt.report.story import Node, Story, Value

_INDENT = "  "
_HEAD = (
    'graph [rankdir=TB, fontname="Helvetica", compound=true]',
    'node [shape=box, style="rounded,filled", fillcolor="#eef2f7", color="#5b6b7f", fontname="Helvetica", fontsize=11]',
    'edge [color="#5b6b7f", fontname="Helvetica", fontsize=9]',
)
_END = 'shape=oval, fillcolor="#fff4d6"'


@dataclass
class _Box:
    """Nodes, and the boxes within."""

    nodes: list[str] = field(default_factory=list)
    boxes: dict[str, _Box] = field(default_factory=dict)


def dot(story: Story) -> str:
    """Return the graph of the last stage: modules are clusters, edges bear the shapes of values."""
    return "\n".join([f"digraph {quoted(story.title)} {{", *(_INDENT + line for line in _lines(story)), "}"]) + "\n"


def quoted(text: str) -> str:
    """Write a text as a string of the language: any character but NUL, lines where it has them."""
    clean = text.replace("\0", "�").replace("\r", " ")
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _lines(story: Story) -> Iterator[str]:
    yield from (f"{line};" for line in _HEAD)
    if not story.stages:
        return
    stage = story.stages[-1]
    nodes = [story.nodes[place] for place in stage.nodes]
    root, makers = _Box(), {}
    for place in dict.fromkeys(stage.inputs):
        makers[place] = f"input{place}"
        yield f"{makers[place]} [label={quoted(_value(story.values[place]))}, {_END}];"
    for node in nodes:
        box = root
        for name in node.scope:
            box = box.boxes.setdefault(name, _Box())
        box.nodes.append(f"node{node.id} [label={quoted(_node(node))}, tooltip={quoted(node.label)}];")
        makers.update(dict.fromkeys(node.outputs, f"node{node.id}"))
    yield from _box(root, count())
    yield from _edges(story, nodes, makers)
    for place in dict.fromkeys(stage.outputs):
        yield f"output{place} [label={quoted(_value(story.values[place]))}, {_END}];"
        if place in makers:
            yield f"{makers[place]} -> output{place};"


def _box(box: _Box, numbers: Iterator[int]) -> Iterator[str]:
    yield from box.nodes
    for name, inner in box.boxes.items():
        yield f"subgraph cluster{next(numbers)} {{"
        yield f'{_INDENT}label={quoted(name)}; color="#b8c4d2"; fontcolor="#5b6b7f"; style="rounded";'
        yield from (_INDENT + line for line in _box(inner, numbers))
        yield "}"


def _edges(story: Story, nodes: list[Node], makers: Mapping[int, str]) -> Iterator[str]:
    for node in nodes:
        for place in dict.fromkeys(node.inputs):
            if place is not None and place in makers:
                yield f"{makers[place]} -> node{node.id} [label={quoted(_shape(story.values[place]))}];"


def _node(node: Node) -> str:
    return f"{node.op}\n{node.name}" if node.name else node.op


def _value(value: Value) -> str:
    return f"{value.name}\n{value.dtype} {_shape(value)}".rstrip()


def _shape(value: Value) -> str:
    return "" if value.shape is None else "×".join("?" if dim is None else str(dim) for dim in value.shape) or "scalar"
