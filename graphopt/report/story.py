"""The story of a model, as plain records: its stages, the nodes and values of each, and where nodes come from.

A node or a value that stays as it is over many stages is one record: stages name records by their places in the
tables `nodes` and `values` of the story. `to_dict` gives what the page reads, and JSON holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any

FORMAT = 1
"""The version of what `to_dict` returns."""

Dim = int | str | None
"""A size, a symbol, or what is unknown."""


class Kind(StrEnum):
    """What a story tells."""

    MODEL = "model"
    HISTORY = "history"
    DIFF = "diff"


class ValueKind(StrEnum):
    """What a value is to the graph."""

    VALUE = "value"
    CONSTANT = "constant"
    INPUT = "input"


@dataclass(frozen=True)
class Statistics:
    """The numbers in a constant; those that are not finite count for `zeros` alone.

    Attributes:
        zeros: the share of elements that are 0.
        histogram: how many elements lie in each of equal bins from the least to the greatest.

    """

    min: float
    max: float
    mean: float
    std: float
    zeros: float
    histogram: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**vars(self), "histogram": list(self.histogram)}


@dataclass(frozen=True)
class Value:
    """A value.

    Attributes:
        dtype: empty where it is unknown, or no tensor's.
        shape: None where its rank is unknown.
        statistics: of a constant of real numbers.
        text: the content of a small constant.

    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    kind: ValueKind
    statistics: Statistics | None = None
    text: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        shape = None if self.shape is None else list(self.shape)
        data: dict[str, Any] = {"name": self.name, "dtype": self.dtype, "shape": shape, "kind": self.kind.value}
        if self.statistics is not None:
            data["statistics"] = self.statistics.to_dict()
        if self.text is not None:
            data["text"] = self.text
        return data


@dataclass(frozen=True)
class Made:
    """A rewrite in the past of a node: its pass, its rule, and the output that it happened at."""

    by: str
    rule: str
    at: str


@dataclass(frozen=True)
class Node:
    """A node as it is in some stages.

    Attributes:
        id: the same in all stages, whatever changes in the node.
        label: as remarks name it.
        scope: the boxes that it stands in, the outermost first, each by its full name.
        inputs: places in the table of values; None for an input that is left out.
        outputs: places in that table, of those that have a name.
        attributes: as text.
        metrics: what is known of `macs`, `flops`, `bytes`, `parameters`, `zeros` (a share of the parameters),
            `time_us`, `gflops` (a second) and `share` (of the time of a run).
        device, kernel: who runs it, and in which kernel.
        parents: the nodes of earlier stages that rewrites made it of.
        made_by: the rewrites in its past.
        sources: the names of the original nodes in it, where a rewrite made it.

    """

    id: int
    op: str
    domain: str
    name: str
    label: str
    scope: tuple[str, ...]
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: dict[str, str]
    metrics: dict[str, float]
    device: str | None
    kernel: str | None
    parents: tuple[int, ...]
    made_by: tuple[Made, ...]
    sources: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **vars(self),
            "scope": list(self.scope),
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "parents": list(self.parents),
            "made_by": [{"pass": one.by, "rule": one.rule, "at": one.at} for one in self.made_by],
            "sources": list(self.sources),
        }


@dataclass(frozen=True)
class Remark:
    """What a pass said of a node: `node` is its id, None where no stage holds it."""

    verdict: str
    node: int | None
    label: str
    message: str


@dataclass(frozen=True)
class Stage:
    """The model at one moment.

    Attributes:
        name: the text of the pass that made it so, or what else it stands for.
        size: nodes and parameters, as the report of a pipeline counts them.
        nodes: places in the table of nodes, graph by graph, each in topological order.
        inputs, outputs: of the graph, as places in the table of values.
        run: which of the runs of that pass that changed something it is, the first being 1.
        changes, seconds: of the pass.

    """

    name: str
    size: dict[str, int]
    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    run: int = 1
    changes: int = 0
    seconds: float = 0.0
    remarks: tuple[Remark, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        lists = {name: list(getattr(self, name)) for name in ("inputs", "outputs", "nodes")}
        return {**vars(self), **lists, "remarks": [vars(remark) for remark in self.remarks]}


@dataclass(frozen=True)
class IdlePass:
    """A pass that changed nothing in all of its runs, and what it said."""

    name: str
    seconds: float
    remarks: tuple[Remark, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**vars(self), "remarks": [vars(remark) for remark in self.remarks]}


def _version() -> str:
    """Return ours, without the import of what for type checkers imports all there is."""
    return str(import_module("graphopt").__version__)


@dataclass(frozen=True)
class Story:
    """All stages of a model, the tables of their nodes and values, and what is to be said beside them.

    Attributes:
        idle: passes that changed nothing.
        pipeline: as text.
        notes: sentences for the reader.
        graphopt: the version that wrote it.

    """

    kind: Kind
    title: str
    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    stages: tuple[Stage, ...]
    idle: tuple[IdlePass, ...] = ()
    pipeline: str | None = None
    target: str | None = None
    notes: tuple[str, ...] = ()
    graphopt: str = field(default_factory=_version)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {
            "format": FORMAT,
            "kind": self.kind.value,
            "title": self.title,
            "graphopt": self.graphopt,
            "pipeline": self.pipeline,
            "target": self.target,
            "notes": list(self.notes),
            "values": [value.to_dict() for value in self.values],
            "nodes": [node.to_dict() for node in self.nodes],
            "stages": [stage.to_dict() for stage in self.stages],
            "idle": [one.to_dict() for one in self.idle],
        }
