"""Why a node is what it is after a pipeline, and why a pass left it alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import onnx_ir as ir

from graphopt.catalog import passes
from graphopt.compiler.optimize import Shapes, optimize
from graphopt.errors import ModelError
from graphopt.ir.load import Source, load
from graphopt.ir.walk import label, nodes
from graphopt.nearest import did_you_mean
from graphopt.pipeline.check import output_name
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pipeline.remark import Remark, Verdict
from graphopt.pipeline.text import parse_pipeline
from graphopt.rewrite.driver import RewritePass
from graphopt.rewrite.pattern import roots
from graphopt.rewrite.provenance import Provenance, provenance


class Fate(StrEnum):
    """What became of a node."""

    KEPT = "kept"
    MADE = "made"
    GONE = "gone"


@dataclass(frozen=True)
class Why:
    """The past or the end of a node.

    Attributes:
        node: the node, as remarks name it.
        fate: kept as it was, made by rewrites, or gone.
        past: the original nodes and the rewrites behind it.
        became: where it is gone, the nodes that rewrites made of it.
        remarks: what passes said of it.

    """

    node: str
    fate: Fate
    past: Provenance
    became: tuple[str, ...]
    remarks: tuple[Remark, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        past = {"sources": self.past.sources, "rewrites": [one._asdict() for one in self.past.rewrites]}
        return asdict(self) | {"past": past | {"more": self.past.more}}


@dataclass(frozen=True)
class WhyNot:
    """What a pass did and did not do at a node.

    Attributes:
        node, pass_name: what was asked.
        added: whether the pipeline has no such pass, so that it ran at the end.
        applied, missed: its remarks there.
        begins_at: the operators that its rules begin at; empty where it is not made of rules.

    """

    node: str
    pass_name: str
    added: bool
    applied: tuple[Remark, ...]
    missed: tuple[Remark, ...]
    begins_at: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return asdict(self)


def why(model: Source, node: str, pipeline: str = DEFAULT_PRESET, *, shapes: Shapes | None = None) -> Why:
    """Run a pipeline and tell how a node came to be, or where it went.

    `node` is a node's name or one of its outputs, before or after the pipeline.

    Raises:
        ModelError: there is no such node on either side; and as `graphopt.optimize`.
        PipelineError: as `graphopt.optimize`.

    """
    run = _Run(model, node, pipeline, shapes)
    remarks = tuple(run.remarks())
    for found in run.after:
        past = provenance(found)
        fate = Fate.MADE if past else Fate.KEPT
        return Why(label(found), fate, past or Provenance((_name(found),)), (), remarks)
    gone = run.before[0] if run.before else None
    became = tuple(run.heirs({_name(gone) if gone else node}))
    return Why(label(gone) if gone else node, Fate.GONE, Provenance(), became, remarks)


def why_not(
    model: Source, node: str, pass_name: str, pipeline: str = DEFAULT_PRESET, *, shapes: Shapes | None = None
) -> WhyNot:
    """Run a pipeline and tell why a pass left a node alone; it is added at the end if it is not there.

    Raises:
        ModelError, PipelineError: as `why`; PipelineError also where there is no such pass.

    """
    known = passes()
    (asked,) = parse_pipeline(pass_name, known).passes()
    added = asked.name not in {one.name for one in parse_pipeline(pipeline, known).passes()}
    run = _Run(model, node, ",".join(filter(None, (pipeline, pass_name))) if added else pipeline, shapes)
    said = [remark for remark in run.remarks() if remark.pass_name == asked.name]
    rules = asked.rules() if isinstance(asked, RewritePass) else ()
    begins = {op_type for rule in rules for root in roots(rule.pattern) for op_type in root.op_types}
    return WhyNot(
        run.label(),
        asked.name,
        added,
        tuple(remark for remark in said if remark.verdict is Verdict.APPLIED),
        tuple(remark for remark in said if remark.verdict is Verdict.MISSED),
        tuple(sorted(begins)),
    )


class _Run:
    """A model before and after a pipeline, and the nodes that a name stands for."""

    def __init__(self, model: Source, name: str, pipeline: str, shapes: Shapes | None) -> None:
        original = load(model, shapes=shapes)
        self.optimized, self._report = optimize(model, pipeline, shapes=shapes)
        self._name = name
        self.before = [node for node in nodes(original) if name in _names(node)]
        self.after = [node for node in nodes(self.optimized) if name in _names(node)]
        self._names = {name}.union(*map(_names, (*self.before, *self.after)))
        if not self.before and not self.after and not any(self.remarks()):
            known = sorted(set().union(*(_names(node) for side in (original, self.optimized) for node in nodes(side))))
            hint = did_you_mean(name, known)
            raise ModelError(
                f"no node of the model is named {name!r} or has such an output{hint};"
                " `graphopt inspect --layers` lists them"
            )

    def label(self) -> str:
        return next(map(label, (*self.before, *self.after)), self._name)

    def remarks(self) -> Iterator[Remark]:
        labels = [label(node) for node in (*self.before, *self.after)]
        return (
            remark
            for remark in self._report.remarks
            if _is_about(remark.node, self._names) or any(one in remark.message for one in labels)
        )

    def heirs(self, sources: set[str]) -> Iterator[str]:
        for node in nodes(self.optimized):
            past = provenance(node)
            if past and not sources.isdisjoint(past.sources):
                yield label(node)


def _names(node: ir.Node) -> set[str]:
    return {name for name in (node.name, *(value.name for value in node.outputs)) if name}


def _name(node: ir.Node) -> str:
    return node.name or output_name(node)


def _is_about(text: str, names: Iterable[str]) -> bool:
    """Whether a label (`graphopt.ir.walk.label`) names one of `names`, as the node or its first output."""
    return any(text.endswith(f"(-> {name})") or f" {name!r} (-> " in text for name in names)
