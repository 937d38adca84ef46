"""What tests ask of stories."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import onnx_ir as ir

import graphopt
from graphopt.report.history import History
from graphopt.report.story import Node, Stage, Story


def told(model: ir.Model, pipeline: str = "O2") -> tuple[Story, graphopt.History]:
    """Run a pipeline on a model and return its story, whose counts are those of the report."""
    history = History("model")
    report = graphopt.optimize(model, pipeline, observer=history)[1]
    story = history.story()
    check(story)
    changing = [record for record in report.passes if record.changes]
    assert [(stage.name, stage.changes) for stage in story.stages[1:]] == [(one.text, one.changes) for one in changing]
    assert [stage.size for stage in story.stages] == [
        {"nodes": size.nodes, "parameters": size.parameters}
        for size in (report.before, *(record.after for record in changing))
    ]
    return story, history


def check(story: Story) -> None:
    """Check what holds of every story: places are in the tables, counts are right, parents are of earlier stages."""
    json.dumps(story.to_dict(), allow_nan=False)
    known: set[int] = set()
    for stage in story.stages:
        nodes = nodes_of(story, stage)
        assert len(nodes) == stage.size["nodes"]
        ids = [node.id for node in nodes]
        assert len(set(ids)) == len(ids)
        if known:
            assert all(known.issuperset(node.parents) for node in nodes if node.id not in known)
        known.update(ids)
        for node in nodes:
            assert all(place is None or 0 <= place < len(story.values) for place in (*node.inputs, *node.outputs))
        assert all(remark.node is None or remark.node in known for remark in stage.remarks)
        makers = [place for node in nodes for place in node.outputs]
        assert len(set(makers)) == len(makers)


def nodes_of(story: Story, stage: Stage | int) -> list[Node]:
    """Return the nodes of a stage."""
    places = story.stages[stage].nodes if isinstance(stage, int) else stage.nodes
    return [story.nodes[place] for place in places]


def by_op(story: Story, stage: int) -> dict[str, Node]:
    """Return the nodes of a stage by operator, of which none may stand there twice."""
    nodes = nodes_of(story, stage)
    found = {node.op: node for node in nodes}
    assert len(found) == len(nodes)
    return found


def embedded(page: str | Path) -> Any:
    """Return the story that a page holds."""
    text = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
    found = re.search(r'<script type="application/gzip\+json" id="story">([^<]*)</script>', text)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))
