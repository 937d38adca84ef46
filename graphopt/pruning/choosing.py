"""The criterion that a person names, or that fits what there is."""

from __future__ import annotations

from graphopt.errors import CalibrationError
from graphopt.nearest import did_you_mean
from graphopt.pruning.importance.criterion import Criterion

AUTO = "auto"
"""The criterion that is `obs` where there are data, and `l1` where there are none."""

WITHOUT_DATA = (Criterion.L1, Criterion.L2, Criterion.MAGNITUDE, Criterion.RANDOM)
"""The criteria that look at weights alone."""


def choose_criterion(text: str | Criterion, *, has_data: bool) -> Criterion:
    """Read the name of a criterion.

    Raises:
        CalibrationError: there is none of that name, or it needs data and there are none.

    """
    if text == AUTO:
        return Criterion.OBS if has_data else Criterion.L1
    try:
        criterion = Criterion(text)
    except ValueError:
        known = [AUTO, *map(str, Criterion)]
        hint = did_you_mean(str(text), known)
        raise CalibrationError(f"unknown criterion {str(text)!r}{hint}; there are {', '.join(known)}") from None
    if criterion not in WITHOUT_DATA and not has_data:
        raise CalibrationError(
            f"criterion {criterion.value!r} looks at data: give some, or take one of {', '.join(WITHOUT_DATA)}"
        )
    return criterion
