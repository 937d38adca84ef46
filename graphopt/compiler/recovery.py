"""How answers are won back when a model has been made smaller, as users say it."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from graphopt.errors import CalibrationError

_Choice = TypeVar("_Choice", bound=StrEnum)


class Recovery(StrEnum):
    """How what is left is fitted to the answers of the model before.

    Members:
        NONE: not at all.
        LEAST_SQUARES: layer by layer in closed form (`graphopt.pruning.recovery`).
        DISTILL: so, and then trained as a whole with the model before as its teacher (`graphopt.distillation`).

    """

    NONE = "none"
    LEAST_SQUARES = "least-squares"
    DISTILL = "distill"


def recovery_of(text: str | None, *, has_data: bool) -> Recovery:
    """Read a recovery, least squares by default where there are data.

    Raises:
        CalibrationError: there is no such, or it takes data and there are none.

    """
    if text is None:
        return Recovery.LEAST_SQUARES if has_data else Recovery.NONE
    recovery = chosen(Recovery, text, "recovery")
    if recovery is not Recovery.NONE and not has_data:
        raise CalibrationError(f"recovery {recovery.value!r} fits what is left to data: give some, or recover none")
    return recovery


def chosen(choices: type[_Choice], text: str, noun: str) -> _Choice:
    """Read one of several; raises CalibrationError naming them."""
    try:
        return choices(text)
    except ValueError:
        raise CalibrationError(f"unknown {noun} {text!r}; there are {', '.join(choices)}") from None
