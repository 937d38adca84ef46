"""convert-opset: the same answers, in the words of another version of `ai.onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.opset import convert_opset
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context


@dataclass(frozen=True)
class ConvertOpset(Pass):
    """Moves a model to a version of `ai.onnx`, up or down.

    A node that has no equal there ends the pipeline with an error that names it: a model half in one version
    and half in another is none.
    """

    name: ClassVar[str] = "convert-opset"

    version: int = 21

    def run(self, model: ir.Model, ctx: Context) -> int:  # noqa: ARG002 (nothing is refused, and no fact matters)
        """Replace the nodes whose operators differ; the import changes in any case."""
        return convert_opset(model, self.version)
