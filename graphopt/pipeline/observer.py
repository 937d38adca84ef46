"""Who looks on while a pipeline runs: told of the model before it, of what becomes of what, and of each pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from graphopt.pipeline.remark import Remark
from graphopt.pipeline.report import PassRecord


class Observer:
    """Looks on, and changes nothing; a subclass overrides what it wants to hear of."""

    def begin(self, model: ir.Model, pipeline: str, target: str) -> None:
        """Look at the model before the first pass."""

    def derived(self, built: Sequence[ir.Node], matched: Sequence[ir.Node]) -> None:
        """Hear that a rewrite makes new nodes of others, which are still as they were."""

    def ran(self, model: ir.Model, record: PassRecord, remarks: Iterable[Remark]) -> None:
        """Look at the model behind a pass, and hear what that said; one without changes has left it untouched."""
