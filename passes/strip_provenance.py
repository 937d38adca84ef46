"""strip-provenance: forget how the nodes came to be."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.rewrite.provenance import strip_provenance


class StripProvenance(Pass):
    """Removes from nodes the record of the rewrites that made them, for the smallest file.

    `graphopt why` then answers from nothing but the pipeline that it runs itself.
    """

    name: ClassVar[str] = "strip-provenance"

    def run(self, model: ir.Model, ctx: Context) -> int:  # noqa: ARG002 (nothing here is refused or depends on facts)
        """Drop the entry from the metadata of each node."""
        return strip_provenance(model)
