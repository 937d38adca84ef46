"""What a pipeline did: pass by pass, and remark by remark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import onnx_ir as ir

from graphopt.inspect.statistics import count_nodes, count_parameters
from graphopt.markup import table
from graphopt.pipeline.remark import Remark, Verdict


@dataclass(frozen=True)
class Size:
    """How big a model is, at one moment."""

    nodes: int
    parameters: int
    ops: dict[str, int]

    @classmethod
    def of(cls, model: ir.Model) -> Size:
        """Measure a model, all scopes included; Constant nodes count as parameters, not as nodes."""
        ops = count_nodes(model)
        return cls(sum(ops.values()), count_parameters(model), dict(ops.most_common()))


@dataclass(frozen=True)
class PassRecord:
    """One run of one pass: how many changes, how long, and the size of the model afterwards."""

    text: str
    changes: int
    seconds: float
    after: Size


@dataclass
class Report:
    """The story of one run of a pipeline.

    Attributes:
        pipeline: its text, presets spelled out.
        before, after: the model's size at both ends.
        passes: every run of every pass, in order; a pass inside a fixpoint has several.
        remarks: what was done and refused, each once.

    """

    pipeline: str
    before: Size
    after: Size
    passes: list[PassRecord] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """How many changes all passes made together."""
        return sum(record.changes for record in self.passes)

    @property
    def seconds(self) -> float:
        """How long all passes took together."""
        return sum(record.seconds for record in self.passes)

    def applied(self) -> Counter[str]:
        """Count the rewrites by pass."""
        return self._count(Verdict.APPLIED)

    def missed(self) -> Counter[str]:
        """Count the refusals by pass."""
        return self._count(Verdict.MISSED)

    def merged(self) -> list[PassRecord]:
        """Return one record per pass, its runs in a fixpoint summed up."""
        merged: dict[str, PassRecord] = {}
        for record in self.passes:
            earlier = merged.get(record.text)
            changes = record.changes + (earlier.changes if earlier else 0)
            seconds = record.seconds + (earlier.seconds if earlier else 0.0)
            merged[record.text] = PassRecord(record.text, changes, seconds, record.after)
        return list(merged.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Show a table of the passes, those that changed nothing aside."""
        rows = [(one.text, one.changes, f"{one.seconds:.3f}", one.after.nodes) for one in self.merged() if one.changes]
        ends = [f"{self.before.nodes} → {self.after.nodes} nodes"]
        ends.append(f"{self.before.parameters:,} → {self.after.parameters:,} parameters")
        return table(("pass", "changes", "seconds", "nodes after it"), rows, ", ".join(ends))

    def _count(self, verdict: Verdict) -> Counter[str]:
        return Counter(remark.pass_name for remark in self.remarks if remark.verdict is verdict)


def unique(remarks: Iterable[Remark]) -> list[Remark]:
    """Return remarks in order, each once: a fixpoint repeats those it could not act on."""
    return list(dict.fromkeys(remarks))
