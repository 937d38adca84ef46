"""What a schedule leaves open: knobs, each with the answer of analysis, which a measurement may overrule.

A schedule asks at the place where it decides: `kernel.choose("tile", options, default)`. Without a decision it gets
the default, so that no schedule knows whether anything was measured. What it asked for is written down, and that is
the space that `tuning` searches: options may depend on what was decided before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

Decisions = Mapping[str, str]
"""The option of each knob of one kernel, as text."""
DecisionTable = Mapping[str, Decisions]
"""The decisions for kernels, by the keys of `workload.workload_key`."""
ANALYSIS: DecisionTable = MappingProxyType({})
"""Nothing is decided: every knob has the answer of analysis."""

Option = TypeVar("Option")


@dataclass
class Choices:
    """The decisions for one kernel, and what its schedule asked for.

    Attributes:
        decisions: a knob that is not there, or has an option that the schedule does not offer, takes the default.
        options: by knob that was asked for, in order, the texts of its options, the default first.
        taken: by knob that was asked for, the text of the option that it got.

    """

    decisions: Decisions = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)

    def choose(self, knob: str, options: Iterable[Option], default: Option) -> Option:
        """Return the option that is decided for a knob; options are told apart by their text."""
        by_text = {str(option): option for option in (default, *options)}
        decided = self.decisions.get(knob)
        self.options[knob] = tuple(by_text)
        self.taken[knob] = decided if decided in by_text else str(default)
        return by_text[self.taken[knob]]

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose."""
        return any(len(options) > 1 for options in self.options.values())
