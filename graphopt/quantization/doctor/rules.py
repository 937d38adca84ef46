"""What a rule of a target is: a condition on a node and its neighbours that keeps it from integers, and the mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphopt.quantization.doctor.site import Site


@dataclass(frozen=True)
class Rule:
    """One reason why a node does not compute in integers on a target.

    Attributes:
        name: a few words, which a summary counts: `float bias`.
        broken: the condition, on a node and what stands around it.
        why: what the target does, in a sentence that goes on from "it does not compute in integers: ".
        mend: what `treat` does about it with the same numbers, or None where only another quantization helps.
        operators: those that it speaks of; None for all.
        wrong: whether the target computes in integers all the same, and wrongly.

    """

    name: str
    broken: Callable[[Site], bool]
    why: str
    mend: str | None = None
    operators: frozenset[str] | None = None
    wrong: bool = False

    def applies(self, site: Site) -> bool:
        """Whether the condition holds for a node."""
        return (self.operators is None or site.node.op_type in self.operators) and self.broken(site)


@dataclass(frozen=True)
class Runtime:
    """Who takes a quantized file, as the doctor knows it.

    Attributes:
        rules: what keeps a node from integers, in the order in which a person would mend them.
        runs_integer_operators: whether operators of integers, such as QLinearConv, run as they are.
        absorbs: whether a node is gone in integers, as a Relu where the Q behind it saturates.

    """

    rules: tuple[Rule, ...]
    runs_integer_operators: bool
    absorbs: Callable[[Site], bool]
