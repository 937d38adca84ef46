"""The known name that is next to one that is not known: what an error asks whether it was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a remark on the known name that is next to a name, to follow it; empty where none is near."""
    question = question_of(name, known)
    return f" ({question})" if question else ""


def question_of(name: str, known: Iterable[str]) -> str:
    """Return the same without brackets, to stand by itself."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
