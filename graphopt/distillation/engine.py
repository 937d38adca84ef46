"""PyTorch, an extra: whether it is there."""

from __future__ import annotations

from importlib.util import find_spec

from graphopt.errors import TargetError


def check_installed() -> None:
    """Refuse to train where PyTorch is missing; raises TargetError."""
    if find_spec("torch") is None:
        raise TargetError("training needs PyTorch, which is not installed; run: pip install 'graphopt[distill]'")
