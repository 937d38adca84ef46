"""The passes, one a file or one family a folder; passes/README.md holds their laws."""

from __future__ import annotations

from graphopt.pipeline.base import Pass

PASSES: dict[str, type[Pass]] = {}
