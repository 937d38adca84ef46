"""Rewriting by rules: a pattern, a reason to refuse, a replacement; and the driver that applies them."""

from __future__ import annotations

from graphopt.rewrite.builder import Builder, Refused
from graphopt.rewrite.driver import RewritePass, apply_rules
from graphopt.rewrite.matcher import Match
from graphopt.rewrite.pattern import const, either, op, optional, parameter, rest, scalar, var
from graphopt.rewrite.rule import Rule, since

__all__ = [
    "Builder",
    "Match",
    "Refused",
    "RewritePass",
    "Rule",
    "apply_rules",
    "const",
    "either",
    "op",
    "optional",
    "parameter",
    "rest",
    "scalar",
    "since",
    "var",
]
