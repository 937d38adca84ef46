"""Rules by the operator that they begin with, so that a node meets only those which may match at it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import onnx_ir as ir

from graphopt.rewrite.pattern import depth, roots
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.screen import Outline, may_match, outline


class RuleIndex:
    """The rules of one stage, those that should win first."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules: dict[str, list[Rule]] = {}
        self._screened: dict[Outline, list[Rule]] = {}
        for rule in rules:
            for op_type in {op_type: None for root in roots(rule.pattern) for op_type in root.op_types}:
                self._rules.setdefault(op_type, []).append(rule)

    def __contains__(self, op_type: str) -> bool:
        return op_type in self._rules

    def candidates(self, node: ir.Node) -> list[Rule]:
        """Return the rules that may match at a node, as far as the operators around it tell."""
        found = outline(node)
        if found not in self._screened:
            self._screened[found] = [rule for rule in self._rules[node.op_type] if may_match(rule, found)]
        return self._screened[found]


class StagedRules:
    """Rules by stage.

    Attributes:
        stages: an index of each stage, the lowest first.
        reach: how many operators lie between a root and the farthest node that its rule looks at.

    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        count = max((rule.stage for rule in rules), default=0) + 1
        self.stages = [RuleIndex([rule for rule in rules if rule.stage == stage]) for stage in range(count)]
        self.reach = max((depth(rule.pattern) for rule in rules), default=0)


@lru_cache(maxsize=128)
def staged(rules: tuple[Rule, ...]) -> StagedRules:
    """Sort rules by stage and operator, once for those that a pipeline runs again and again."""
    return StagedRules(rules)
