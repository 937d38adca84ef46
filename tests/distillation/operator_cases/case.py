"""What a case is."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A graph; its inputs are of small sizes, since gradients are checked element by element."""

    text: str
    opset: int = 21
