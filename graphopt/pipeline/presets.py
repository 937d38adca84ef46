"""Pipelines with a name. Each is plain text, so that it can be printed, copied and changed."""

from __future__ import annotations

_SHAPES_AND_CONSTANTS = "fold-constants,infer-shapes,eliminate-identity"
_CLEANUP = "deduplicate,remove-dead-nodes"
_REWRITES = "recover-operators,simplify-movement,simplify-algebra,fold-pad,fold-batch-norm,fold-linear"
"""Operators are recovered first: once folds have taken the constants of a pattern apart, it is gone."""

_O2 = f"fixpoint({_SHAPES_AND_CONSTANTS},{_REWRITES},{_CLEANUP})"

PRESETS = {
    "O0": "",
    "O1": f"fixpoint({_SHAPES_AND_CONSTANTS},remove-dead-nodes)",
    "O2": _O2,
    "O3": f"{_O2},fuse-operators",
}
DEFAULT_PRESET = "O2"
