"""Pipelines with a name. Each is plain text, so that it can be printed, copied and changed."""

from __future__ import annotations

PRESETS = {
    "O0": "",
    "O1": "fixpoint(infer-shapes,fold-constants,eliminate-identity,remove-dead-nodes)",
    "O2": "fixpoint(infer-shapes,fold-constants,eliminate-identity,fold-batch-norm,deduplicate,remove-dead-nodes)",
}
DEFAULT_PRESET = "O2"
