"""What a pass is told, and where it says what it did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import onnx_ir as ir

from graphopt.ir.walk import label
from graphopt.pipeline.check import Check
from graphopt.pipeline.limit import RewriteLimit
from graphopt.targets import Target


class Verdict(StrEnum):
    """What happened to a chance to rewrite."""

    APPLIED = "applied"
    MISSED = "missed"


@dataclass(frozen=True)
class Remark:
    """One thing that a pass did or refused to do, in the manner of LLVM's optimization remarks."""

    verdict: Verdict
    pass_name: str
    node: str
    message: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.pass_name}: {self.node}: {self.message}"


class Context:
    """The facts a pass may ask for, and its remarks.

    Attributes:
        target: the facts of the machine compiled for.
        pass_name: of the pass that this context is for.
        seed: where a pass needs randomness, it comes from here.
        check: may refuse single rewrites.
        limit: counts them, and says when to stop.

    """

    def __init__(
        self,
        target: Target,
        *,
        pass_name: str = "",
        seed: int = 0,
        check: Check | None = None,
        limit: RewriteLimit | None = None,
    ) -> None:
        self.target = target
        self.pass_name = pass_name
        self.seed = seed
        self.check = check or Check()
        self.limit = limit or RewriteLimit()
        self._remarks: dict[Remark, None] = {}

    def applied(self, node: ir.Node, what: str) -> None:
        """Remark that a rewrite happened at `node`."""
        self._remark(Verdict.APPLIED, node, what)

    def missed(self, node: ir.Node, why: str) -> None:
        """Remark that a rewrite of `node` was refused, and why."""
        self._remark(Verdict.MISSED, node, why)

    @property
    def remarks(self) -> Iterable[Remark]:
        """All remarks so far, in order, each once."""
        return self._remarks.keys()

    def _remark(self, verdict: Verdict, node: ir.Node, message: str) -> None:
        self._remarks[Remark(verdict, self.pass_name, label(node), message)] = None
