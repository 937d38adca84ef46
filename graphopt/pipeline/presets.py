"""Pipelines with a name. Each is plain text, so that it can be printed, copied and changed."""

from __future__ import annotations

_STRUCTURE = "inline-functions"
"""Once, and before all else: no pass makes a function that it would take, and none sees through a call."""

_SHAPES_AND_CONSTANTS = "fold-constants,infer-shapes,simplify-control-flow,eliminate-identity"
"""The size of a value decides what a branch depends on, and a branch taken gives values their sizes."""

_CLEANUP = "deduplicate,remove-dead-nodes"
_REWRITES = "recover-operators,simplify-movement,simplify-algebra,fold-pad,fold-batch-norm,fold-linear"
"""Operators are recovered first: once folds have taken the constants of a pattern apart, it is gone."""

_O2 = f"{_STRUCTURE},fixpoint({_SHAPES_AND_CONSTANTS},{_REWRITES},{_CLEANUP})"

PRESETS = {
    "O0": "",
    "O1": f"{_STRUCTURE},fixpoint({_SHAPES_AND_CONSTANTS},remove-dead-nodes)",
    "O2": _O2,
    "O3": f"{_O2},fuse-operators",
}
DEFAULT_PRESET = "O2"
