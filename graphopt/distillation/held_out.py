"""Which samples are not learnt from, so that they can tell how well the others were."""

from __future__ import annotations

import numpy as np

from graphopt.distillation.recipe import Recipe
from graphopt.errors import TrainingError


def held_out_numbers(recipe: Recipe, count: int) -> list[int]:
    """Return the numbers of the samples, of `count`, that a recipe holds out, at random and in rising order.

    Raises:
        TrainingError: none would be left on one side.

    """
    if not recipe.held_out:
        return []
    held = round(recipe.held_out * count)
    if not 0 < held < count:
        raise TrainingError(
            f"held-out={recipe.held_out} of {count} samples leaves none on one side; give more samples, or held-out=0"
        )
    return sorted(np.random.default_rng(recipe.seed).permutation(count)[:held].tolist())
