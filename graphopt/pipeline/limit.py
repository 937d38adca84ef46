"""Counting rewrites, and stopping after so many: what bisection turns (LLVM's opt-bisect-limit)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One thing that a pipeline did, in order.

    Attributes:
        pass_name: the pass.
        rule, at, node: the rule, the name of the root's first output and the root; empty where a pass
            that is no set of rules did all its work as one step.

    """

    pass_name: str
    rule: str = ""
    at: str = ""
    node: str = ""

    def __str__(self) -> str:
        return f"{self.pass_name}: {self.rule} at {self.node}" if self.rule else self.pass_name


@dataclass
class RewriteLimit:
    """Lets the first `limit` steps of a run happen, and none after them; all of them without a limit.

    A step is a rewrite, or one run of a pass that is no set of rules and changed something. What happens
    before the limit does not depend on it, so the runs with limits 1, 2, 3, … are prefixes of one run.
    """

    limit: int | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Whether nothing more may happen."""
        return self.limit is not None and len(self.steps) >= self.limit

    def count(self, step: Step) -> None:
        """Note that a step happened."""
        self.steps.append(step)

    def again(self) -> RewriteLimit:
        """Return the same limit with nothing counted."""
        return RewriteLimit(self.limit)
