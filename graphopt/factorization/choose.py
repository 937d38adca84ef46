"""Choosing a form of each layer, so that a model saves what it has to for the least error of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphopt.factorization.allot import Choice, allot
from graphopt.factorization.candidates import Candidate

Found = Mapping[str, Sequence[Candidate]]
"""What is worth trying, by layer."""


def choose(found: Found, needed: int) -> dict[str, Candidate] | None:
    """Return a candidate for each layer that takes one; None where all of them together save too little.

    Args:
        found: by layer.
        needed: how much is to be saved.

    """
    taken = allot({name: [Choice(one.saved, one.answers) for one in some] for name, some in found.items()}, needed)
    return None if taken is None else {name: found[name][index] for name, index in taken.items()}
