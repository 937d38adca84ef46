"""Which channels leave, apart from the model that they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import onnx_ir as ir

from graphopt.coupling.groups import Coupling
from graphopt.coupling.shrink import shrink
from graphopt.errors import CalibrationError
from graphopt.nearest import did_you_mean
from graphopt.plan import StoredPlan
from graphopt.pruning.cost import Widths
from graphopt.pruning.curves import Float64
from graphopt.pruning.ranking import orders_of, removed

METADATA_KEY = "graphopt.pruning"
"""Where a pruned model says what was asked for."""


@dataclass(frozen=True)
class Plan(StoredPlan):
    """What leaves a model, by groups of its coupling (`graphopt.coupling`); they are named after values.

    Attributes:
        removal: the numbers of the channels that leave, ascending, by the name of their group.
        channels: how many a group of `removal` has.
        criterion: by which they were chosen.
        request: what was asked for, as text.

    """

    KIND: ClassVar[str] = "pruning"
    KEY: ClassVar[str] = "graphopt-pruning-plan"

    removal: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    criterion: str = ""
    request: str = ""

    @classmethod
    def of(cls, scores: Mapping[str, Float64], widths: Widths, criterion: str, request: str) -> Plan:
        """Return the plan that leaves groups with so many channels, those of the highest scores [channels]."""
        gone = removed(orders_of(scores), widths)
        removal = {name: tuple(sorted(map(int, numbers))) for name, numbers in gone.items()}
        return cls(removal, {name: len(scores[name]) for name in removal}, criterion, request)

    def check(self, coupling: Coupling) -> None:
        """Refuse a model that lacks what the plan names.

        Raises:
            CalibrationError: naming the first group that is not there, or has other channels.

        """
        groups = {group.name: len(group.channels) for group in coupling.groups}
        for name, count in self.channels.items():
            if name not in groups:
                raise _unfit(f"of group {name!r}, which the model does not have{did_you_mean(name, groups)}")
            if groups[name] != count:
                raise _unfit(f"of {count} channels of group {name!r}, which has {groups[name]}")

    def apply(self, model: ir.Model, coupling: Coupling) -> int:
        """Take the channels out of a model, in place; return how many.

        Args:
            model: with shapes.
            coupling: of the model.

        Raises:
            CalibrationError: the plan is for another model.
            ModelError: the model cannot be made smaller so.

        """
        self.check(coupling)
        shrink(model, coupling, self.removal)
        model.metadata_props[METADATA_KEY] = self.request
        return sum(map(len, self.removal.values()))

    def to_data(self) -> dict[str, Any]:
        """Return a group's name, how many channels it has, and which of them leave."""
        groups = {
            name: {"channels": self.channels[name], "remove": list(numbers)} for name, numbers in self.removal.items()
        }
        return {"request": self.request, "criterion": self.criterion, "groups": groups}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read them back; raises ValueError, KeyError, TypeError or AttributeError where they are others."""
        groups = {str(name): (int(held["channels"]), held["remove"]) for name, held in data["groups"].items()}
        for name, (channels, numbers) in groups.items():
            _check_numbers(name, channels, numbers)
        return cls(
            removal={name: tuple(sorted(numbers)) for name, (_, numbers) in groups.items()},
            channels={name: channels for name, (channels, _) in groups.items()},
            criterion=str(data["criterion"]),
            request=str(data["request"]),
        )


def _check_numbers(name: str, channels: int, numbers: list[int]) -> None:
    """Refuse numbers that no channels have, and to leave a group without any; raises ValueError."""
    if not all(isinstance(number, int) and 0 <= number < channels for number in numbers):
        raise ValueError(f"group {name!r} has the channels 0 to {channels - 1}")
    if len(set(numbers)) != len(numbers) or len(numbers) >= channels:
        raise ValueError(f"group {name!r} is to lose {len(numbers)} of {channels} channels")


def _unfit(what: str) -> CalibrationError:
    return CalibrationError(
        f"the plan speaks {what}; apply it to the model that it was made for, after the same passes"
    )
