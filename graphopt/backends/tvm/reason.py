"""What TVM says of a failure, without the way there."""

from __future__ import annotations


def reason_of(error: Exception) -> str:
    """Return the last line of a message: those before it trace calls in C++."""
    return str(error).strip().rpartition("\n")[2]
