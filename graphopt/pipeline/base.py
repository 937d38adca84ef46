"""The contract of a pass."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from graphopt.pipeline.context import Context
from graphopt.pipeline.limit import Step
from graphopt.pipeline.options import format_options
from graphopt.spec import Spec

LOSSY = 10.0
"""The `rounding` of a pass that gives answers away on purpose: how many is a matter of the data, no check can say."""


@dataclass(frozen=True)
class Pass(ABC):
    """A transformation of a model that keeps its answers.

    A subclass with options is a frozen dataclass whose fields they are: `fold-constants{max-bytes=65536}` is
    `FoldConstants(max_bytes=65536)`, and `str` prints it back. A pass holds no state between runs, prints
    nothing and asks a target only for facts.

    Attributes:
        name: `fold-constants` lives in passes/fold_constants.py, its cases in tests/passes/fold-constants.md.
        requires: names of the passes that must stand earlier in a pipeline.
        counts_rewrites: whether it heeds `ctx.limit` and `ctx.check` rewrite by rewrite; otherwise a run of it
            is one step.

    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    counts_rewrites: ClassVar[bool] = False

    @abstractmethod
    def run(self, model: ir.Model, ctx: Context) -> int:
        """Transform `model` in place; return the number of changes, 0 meaning that it is untouched.

        Afterwards the model must be valid again and give the same answers. A pass that cannot prove that
        a change keeps them refuses it, with `ctx.missed(node, why)`.
        """

    @property
    def rounding(self) -> float:
        """How far, as a share of its scale, the pass may move an output: 0 but for what rounds on purpose."""
        return 0.0

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    def __str__(self) -> str:
        return str(Spec(self.name, format_options(self)))


def run_counted(step: Pass, model: ir.Model, ctx: Context) -> int:
    """Run a pass; if it does not count its rewrites itself, all that it changes is one step."""
    changes = step.run(model, ctx)
    if changes and not step.counts_rewrites:
        ctx.limit.count(Step(step.name))
    return changes
