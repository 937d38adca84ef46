"""The learning rate of each step: a function of where the training stands, so that nothing of it needs to be kept."""

from __future__ import annotations

import math

from graphopt.distillation.recipe import Recipe


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the rate of step number `step` of `steps`."""
    warm = math.ceil(recipe.warm_up * steps)
    if step < warm:
        return recipe.rate * (step + 1) / warm
    return recipe.rate * _factor(recipe, (step - warm) / max(steps - warm, 1))


def _factor(recipe: Recipe, passed: float) -> float:
    """Return the factor where a share has passed of the steps behind the warm-up."""
    match recipe.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * passed))
        case "exponential":
            return float(recipe.decay**passed)
        case "step":
            return float(recipe.decay ** sum(passed >= share for share in recipe.milestones))
        case _:
            return 1.0
