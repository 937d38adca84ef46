"""What every check of a pipeline can be asked; each answers what concerns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import onnx_ir as ir

from graphopt.numerics import Difference


class Rewrite(NamedTuple):
    """One rewrite, built and not yet in the graph.

    Attributes:
        pass_name, rule: who wants it.
        matched: the nodes of the left side, the root first.
        built: the new nodes, in order.
        results: by the name of each output of the root: the value that it has, and the one that replaces it.
        opset: the version of `ai.onnx` in force there.

    """

    pass_name: str
    rule: str
    matched: tuple[ir.Node, ...]
    built: tuple[ir.Node, ...]
    results: Mapping[str, tuple[ir.Value, ir.Value]]
    opset: int

    @property
    def at(self) -> str:
        """Return the name of the root's first output, which stays and by which `skip=` knows the match."""
        return output_name(self.matched[0])

    def __str__(self) -> str:
        return f"{self.pass_name}/{self.rule} at {self.at!r}"


class Check:
    """Watches over a run of a pipeline; a subclass overrides what it has a word on."""

    def start(self, model: ir.Model) -> None:
        """Look at the model before the first pass."""

    def worst(self, model: ir.Model) -> Difference | None:  # noqa: ARG002 (the default looks at nothing)
        """Return the worst answer that a pass has changed, or None; called after each that changed anything."""
        return None

    def allow(self, error: float) -> None:
        """Hear that a pass rounds on purpose, and may move an output by this share of its scale."""

    def refuse(self, rewrite: Rewrite) -> str | None:  # noqa: ARG002 (the default looks at nothing)
        """Return why one rewrite must not happen, or None if it may."""
        return None

    def summary(self) -> str:
        """Say in a few words what was checked."""
        return ""

    def findings(self) -> list[str]:
        """Return what the user should know, a line each."""
        return []


def output_name(node: ir.Node) -> str:
    """Return the name of a node's first output that has one."""
    return next((value.name for value in node.outputs if value.name), "")
