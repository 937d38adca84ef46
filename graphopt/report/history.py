"""The history of a model: what each pass made of it, kept while a pipeline runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple
from weakref import WeakKeyDictionary

import onnx_ir as ir

from graphopt.pipeline.check import output_name
from graphopt.pipeline.observer import Observer
from graphopt.pipeline.remark import Remark as Said
from graphopt.pipeline.report import PassRecord, Size
from graphopt.report.document import Document
from graphopt.report.snapshot import Identity, Measured, Shown, Tables, shown, with_shapes
from graphopt.report.story import IdlePass, Kind, Remark, Stage, Story

BEFORE = "before"
"""The stage before the first pass."""
BETWEEN = "given on"
"""The stage at which another pipeline finds what has changed behind the last one."""

_Identities = WeakKeyDictionary[ir.Node, Identity]


class _Known(NamedTuple):
    """A node of the last stage."""

    operator: ir.OperatorIdentifier
    identity: Identity


class History(Document, Observer):
    """Keeps what a pipeline makes of a model, pass by pass, and shows it as a page.

        history = graphopt.History()
        graphopt.optimize("model.onnx", observer=history)
        history.write("history.html")

    Pipelines that follow one another on one model, each on what the last one left, are one history: a node is known
    again by its operator and its first output. The history keeps texts and numbers, no weights; in a notebook it
    shows its page.
    """

    def __init__(self, title: str = "") -> None:
        """Begin an empty history; without a title it has the name of the graph."""
        self._title = title
        self._target: str | None = None
        self._pipelines: list[str] = []
        self._tables = Tables()
        self._ids: _Identities = WeakKeyDictionary()  # a node holds its graph, and that the weights
        self._outputs: dict[tuple[str, str], _Known] = {}
        self._made: dict[ir.Node, tuple[ir.Node, ...]] = {}
        self._fresh = count()
        self._stages: list[Stage] = []
        self._idle: dict[str, IdlePass] = {}
        self._notes: list[str] = []

    def begin(self, model: ir.Model, pipeline: str, target: str) -> None:
        """Take the model before the first pass, or know it again behind an earlier pipeline."""
        self._target = target
        if pipeline:
            self._pipelines.append(pipeline)
        self.look(BETWEEN if self._stages else BEFORE, model)

    def derived(self, built: Sequence[ir.Node], matched: Sequence[ir.Node]) -> None:
        """Remember what new nodes are made of."""
        self._made.update(dict.fromkeys(built, tuple(matched)))

    def ran(self, model: ir.Model, record: PassRecord, remarks: Iterable[Said]) -> None:
        """Take the model behind a pass."""
        said = tuple(remarks)
        if not record.changes:
            self._made.clear()
            self._wait(record, self._placed(said))
            return
        before = self._stages[-1]
        self._stages.append(self._stage(record.text, model, record.after, record.changes, record.seconds))
        self._stages[-1] = replace(self._stages[-1], remarks=self._placed(said, before))

    def look(
        self,
        name: str,
        model: ir.Model,
        measured: Mapping[ir.Node, Measured] | None = None,
        remarks: Iterable[Said] = (),
    ) -> None:
        """Take a model as a stage that no pass made, if it is not as it was; its nodes are known by their outputs."""
        self._title = self._title or model.graph.name or ""
        self._ids = WeakKeyDictionary()
        stage = self._stage(name, model, Size.of(model), 0, 0.0, measured)
        last = self._stages[-1] if self._stages else None
        if last is None or (stage.nodes, stage.inputs, stage.outputs) != (last.nodes, last.inputs, last.outputs):
            self._stages.append(stage)
            self._stages[-1] = replace(stage, remarks=self._placed(tuple(remarks), last))

    def note(self, sentence: str) -> None:
        """Say something to the reader of the page."""
        self._notes.append(sentence)

    def story(self, kind: Kind = Kind.HISTORY) -> Story:
        """Return all that was kept so far."""
        idle = (one for one in self._idle.values() if one.name not in {stage.name for stage in self._stages})
        return Story(
            kind=kind,
            title=self._title,
            nodes=tuple(self._tables.nodes),
            values=tuple(self._tables.values),
            stages=tuple(self._stages),
            idle=tuple(idle),
            pipeline=",".join(self._pipelines) or None,
            target=self._target,
            notes=(*dict.fromkeys(self._notes), *(self._tables.notes(self._stages[-1]) if self._stages else ())),
        )

    def _stage(
        self,
        name: str,
        model: ir.Model,
        size: Size,
        changes: int,
        seconds: float,
        measured: Mapping[ir.Node, Measured] | None = None,
    ) -> Stage:
        nodes = list(shown(model))
        self._identify(nodes)
        if not self._stages:  # no pass has inferred shapes yet
            copy = with_shapes(model)
            twins = zip((one.node for one in shown(copy)), (self._ids[one.node] for one in nodes), strict=True)
            snapshot = self._tables.snapshot(copy, dict(twins))
        else:
            snapshot = self._tables.snapshot(model, self._ids, measured)
        counts = {"nodes": size.nodes, "parameters": size.parameters}
        runs = Counter(stage.name for stage in self._stages)
        return Stage(name, counts, *snapshot, run=runs[name] + 1, changes=changes, seconds=seconds)

    def _identify(self, nodes: Sequence[Shown]) -> None:
        """Find out which nodes are those of the last stage, and what the others were made of."""
        before, outputs = self._ids, self._outputs
        self._ids, self._outputs = WeakKeyDictionary(), {}
        for node, place in nodes:
            at = place.name, output_name(node)
            identity = before.get(node) or self._new(node, before, outputs.get(at))
            self._ids[node] = identity
            self._outputs[at] = _Known(node.op_identifier(), identity)
        self._made.clear()

    def _new(self, node: ir.Node, before: Mapping[ir.Node, Identity], at: _Known | None) -> Identity:
        """Give a node an identity: in another model, that of the node which had its output and operator."""
        if node in self._made:
            return Identity(next(self._fresh), tuple(self._parents(node, before)))
        if at is not None and not before and at.operator == node.op_identifier():
            return at.identity
        return Identity(next(self._fresh), () if at is None else (at.identity.id,))

    def _parents(self, node: ir.Node, before: Mapping[ir.Node, Identity]) -> list[int]:
        """Return which nodes of the last stage went into a new one, through those that came and went since."""
        found: set[int] = set()
        seen: set[ir.Node] = set()
        pending = list(reversed(self._made[node]))
        while pending:
            one = pending.pop()
            if one in before:
                found.add(before[one].id)
            elif one not in seen:
                pending += reversed(self._made.get(one, ()))
            seen.add(one)
        return sorted(found)

    def _placed(self, said: Sequence[Said], before: Stage | None = None) -> tuple[Remark, ...]:
        """Say which nodes remarks are of: of the stage in hand, or of the one before where they are gone."""
        if not said:
            return ()
        ids: dict[str, int] = {}
        for stage in filter(None, (before, self._stages[-1])):
            for node in (self._tables.nodes[place] for place in stage.nodes):
                ids[_output(node.label)] = ids[node.label] = node.id
        return tuple(
            Remark(one.verdict.value, ids.get(one.node, ids.get(_output(one.node))), one.node, one.message)
            for one in said
        )

    def _wait(self, record: PassRecord, remarks: tuple[Remark, ...]) -> None:
        """Remember a run of a pass that changed nothing: what it says belongs to its last run that did, if any."""
        for index in reversed(range(len(self._stages))):
            stage = self._stages[index]
            if stage.name == record.text:
                together = tuple(dict.fromkeys((*stage.remarks, *remarks)))
                self._stages[index] = replace(stage, remarks=together)
                return
        earlier = self._idle.get(record.text, IdlePass(record.text, 0.0, ()))
        together = tuple(dict.fromkeys((*earlier.remarks, *remarks)))
        self._idle[record.text] = IdlePass(record.text, earlier.seconds + record.seconds, together)


def _output(label: str) -> str:
    """Return the output that a label (`graphopt.ir.walk.label`) ends with."""
    return label[label.rfind("(-> ") :]
