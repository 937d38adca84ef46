"""The contract of a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.operators import NEWEST_OPSET, OLDEST_OPSET
from graphopt.rewrite.builder import Builder
from graphopt.rewrite.matcher import Match
from graphopt.rewrite.pattern import Either, Op


def since(opset: int) -> range:
    """Return the opsets from this one to the newest."""
    return range(opset, NEWEST_OPSET + 1)


class Rule(ABC):
    """One identity of the algebra of operators, read from left to right.

    The docstring states the identity; passes/README.md states the laws. A rule holds no state between
    matches; a rule with options is a frozen dataclass.

    Attributes:
        pattern: the left side.
        stage: rules of a lower stage go before those of a higher one, everywhere in the model.
        opsets: versions of `ai.onnx` for which both sides mean what the identity says.

    """

    pattern: ClassVar[Op | Either]
    stage: ClassVar[int] = 0
    opsets: ClassVar[range] = since(OLDEST_OPSET)

    def refuse(self, match: Match) -> str | None:  # noqa: ARG002 (the default looks at nothing)
        """Return why the identity does not hold at this match, in words for the user, or None if it does."""
        return None

    @abstractmethod
    def replace(self, match: Match, build: Builder) -> ir.Value | Sequence[ir.Value]:
        """Build the right side and return what replaces the root's outputs, in their order.

        A result may be a new value or one of the match. Nothing is in the graph yet, so raising
        `graphopt.rewrite.Refused` is allowed until the end.
        """
