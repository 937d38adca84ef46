"""How an error grows with what is taken away from a network, between the few amounts at which it was measured.

What leaves first is missed least, so errors grow as a power of what has left, steeper than a straight line. On straight
lines between measured amounts nothing would be worth taking but these very amounts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

_NOTHING = 1e-9
"""The share of the next error below which one is none."""


def grown(taken: float, amounts: Sequence[float], errors: Sequence[float]) -> float:
    """Return the error when so much is taken: the power of it that goes through the two measured amounts beside it.

    Below the first amount and above the last it goes on as beside them; of one amount alone it is straight from 0 on,
    and so it is from an amount that costs nothing.

    Args:
        taken: 0 or more.
        amounts: one at least, ascending, above 0.
        errors: at these; none below the one before, or below 0.

    """
    if len(amounts) == 1:
        return errors[0] * taken / amounts[0]
    index = min(max(bisect_left(amounts, taken), 1), len(amounts) - 1)
    (less, more), (better, worse) = amounts[index - 1 : index + 1], errors[index - 1 : index + 1]
    if better <= _NOTHING * worse:
        return worse * max(taken - less, 0.0) / (more - less)
    return float(better * (taken / less) ** (math.log(worse / better) / math.log(more / less)))
