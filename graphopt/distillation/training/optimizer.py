"""The optimizer of a recipe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from graphopt.distillation.recipe import Recipe


def optimizer_of(recipe: Recipe, free: Mapping[str, Tensor], decays: Mapping[str, bool]) -> torch.optim.Optimizer:
    """Make it; weight decay is for what `decays` says.

    Args:
        recipe: says which.
        free: what changes.
        decays: by the same names.

    """
    groups = [
        {"params": [tensor for name, tensor in free.items() if decays[name] is decayed], "weight_decay": decay}
        for decayed, decay in ((True, recipe.weight_decay), (False, 0.0))
    ]
    filled = [group for group in groups if group["params"]]
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(filled, recipe.rate, recipe.momentum, nesterov=recipe.nesterov)
        case "adam":
            return torch.optim.Adam(filled, recipe.rate)
        case _:
            return torch.optim.AdamW(filled, recipe.rate)
