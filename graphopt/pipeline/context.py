"""What a pass is told, and where it says what it did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from graphopt.ir.walk import label
from graphopt.pipeline.check import Check
from graphopt.pipeline.limit import RewriteLimit
from graphopt.pipeline.observer import Observer
from graphopt.pipeline.remark import Remark, Verdict
from graphopt.targets import Target


class Context:
    """The facts a pass may ask for, and its remarks.

    Attributes:
        target: the facts of the machine compiled for.
        pass_name: of the pass that this context is for.
        seed: where a pass needs randomness, it comes from here.
        check: may refuse single rewrites.
        limit: counts them, and says when to stop.
        observer: hears what they make of what.

    """

    def __init__(
        self,
        target: Target,
        *,
        pass_name: str = "",
        seed: int = 0,
        check: Check | None = None,
        limit: RewriteLimit | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.target = target
        self.pass_name = pass_name
        self.seed = seed
        self.check = check or Check()
        self.limit = limit or RewriteLimit()
        self.observer = observer or Observer()
        self._remarks: dict[Remark, None] = {}

    def applied(self, node: ir.Node, what: str) -> None:
        """Remark that a rewrite happened at `node`."""
        self._remark(Verdict.APPLIED, node, what)

    def missed(self, node: ir.Node, why: str) -> None:
        """Remark that a rewrite of `node` was refused, and why."""
        self._remark(Verdict.MISSED, node, why)

    def derived(self, built: Sequence[ir.Node], matched: Sequence[ir.Node]) -> None:
        """Tell whoever looks on that new nodes come of others."""
        self.observer.derived(built, matched)

    @property
    def remarks(self) -> Iterable[Remark]:
        """All remarks so far, in order, each once."""
        return self._remarks.keys()

    def _remark(self, verdict: Verdict, node: ir.Node, message: str) -> None:
        self._remarks[Remark(verdict, self.pass_name, label(node), message)] = None
