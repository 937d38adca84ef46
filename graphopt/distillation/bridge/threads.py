"""How many threads PyTorch may use, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graphopt.hardware import available_cores


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads while the body runs; 0 means as many as this process may run on."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
