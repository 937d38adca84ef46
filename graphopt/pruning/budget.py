"""What a smaller model may cost, as a person says it: `macs=-40%`, `params=60%`, `bytes=1.5MB`, `latency=8ms`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from graphopt.errors import PipelineError

Amount = str | float
"""`-40%` or -0.4: so much less; `60%` or 0.6: what stays; `300M`, `1.5MB`, `8ms` or a number from 1 on: at most."""

_NUMBER = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-zµ%]*)")
_DECIMAL = {"": Fraction(1), **{prefix: Fraction(1000) ** power for power, prefix in enumerate("kMGT", start=1)}}


class Measure(StrEnum):
    """What is to become less; latency is the only one that a machine has to be asked for."""

    MACS = "macs"
    FLOPS = "flops"
    PARAMS = "params"
    BYTES = "bytes"
    LATENCY = "latency"


_UNITS: Mapping[Measure, Mapping[str, Fraction]] = {
    Measure.MACS: _DECIMAL,
    Measure.FLOPS: _DECIMAL,
    Measure.PARAMS: _DECIMAL,
    Measure.BYTES: _DECIMAL | {f"{prefix}B": size for prefix, size in _DECIMAL.items()},
    Measure.LATENCY: {
        "": Fraction(1),
        "us": Fraction(1, 1000),
        "µs": Fraction(1, 1000),
        "ms": Fraction(1),
        "s": Fraction(1000),
    },
}


@dataclass(frozen=True)
class Budget:
    """How much is allowed, as a share of what the model costs, or as such.

    Attributes:
        measure: of what.
        share: of the model's that stays, above 0 and below 1; None where the amount is given.
        amount: multiply-adds, operations, elements, bytes or milliseconds of one run; None where the share is given.
        text: as it was written.

    """

    measure: Measure
    share: Fraction | None
    amount: Fraction | None
    text: str

    def limit(self, before: float) -> float:
        """Return how much is allowed of a model that costs `before`.

        Raises:
            PipelineError: the model costs no more than that already.

        """
        if self.share is not None:
            return float(self.share) * before
        allowed = float(self.amount or 0)
        if allowed >= before:
            raise PipelineError(
                f"{self} asks for no less than the model's {before:.6g}; ask for less, as in {self.measure}=-30%"
            )
        return allowed

    def __str__(self) -> str:
        return f"{self.measure}={self.text}"


def parse_budget(measure: Measure, amount: Amount) -> Budget:
    """Read what is allowed of a measure; raises PipelineError."""
    text = f"{amount:g}" if isinstance(amount, int | float) else amount.strip()
    found = _NUMBER.fullmatch(text.replace("−", "-"))
    if found is None:
        raise _unreadable(measure, text)
    sign, digits, unit = found.groups()
    number = Fraction(digits)
    if unit == "%" or (not unit and (sign or number < 1)):
        share = number / 100 if unit == "%" else number
        return Budget(measure, _stays(measure, text, sign, share), None, text)
    if sign or unit not in _UNITS[measure] or not number:
        raise _unreadable(measure, text)
    return Budget(measure, None, number * _UNITS[measure][unit], text)


def _stays(measure: Measure, text: str, sign: str, share: Fraction) -> Fraction:
    """Return the share that stays; raises PipelineError where it is nothing, or all."""
    stays = 1 - share if sign == "-" else share
    if sign == "+" or not 0 < stays < 1:
        raise PipelineError(
            f"{measure}={text} leaves {'nothing' if stays <= 0 else 'no less than there is'}; "
            f"write a share between, as in {measure}=-40% for two fifths less"
        )
    return stays


def one_budget(amounts: Mapping[Measure, Amount | None]) -> Budget:
    """Return the budget of the only measure that is given an amount; raises PipelineError where none or two are."""
    given = {measure: amount for measure, amount in amounts.items() if amount is not None and amount != ""}
    if len(given) != 1:
        listed = f"{' and '.join(given)} are" if given else "nothing is"
        raise PipelineError(
            f"{listed} to become less; say it of one of {', '.join(amounts)}, as in {next(iter(amounts))}=-40%"
        )
    ((measure, amount),) = given.items()
    return parse_budget(measure, amount)


def _unreadable(measure: Measure, text: str) -> PipelineError:
    units = ", ".join(unit for unit in _UNITS[measure] if unit)
    return PipelineError(
        f"{measure}={text} is no budget; write -40% for so much less, 60% for what stays, or an amount in {units}"
    )
