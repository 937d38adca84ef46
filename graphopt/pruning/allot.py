"""Which group gives how many channels, so that a budget is met with the least error of the answers.

The errors of groups are taken to add up. While the model costs too much, that step is taken which costs the answers
least for what it saves, a step going to any narrower width of one group: these are the corners of the convex hull of
each curve of errors (H. Everett: Generalized Lagrange multiplier method, 1963). Costs are no sums over groups, as a
convolution between two of them costs the product of both widths; so what a step saves is counted anew where the others
have changed it. At last single groups are given back as much as the budget leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from graphopt.pruning.cost import Cost, Widths
from graphopt.pruning.curves import Curve

CLOSE = 0.02
"""How far below the limit the cost may be, as a share of the whole: where it is further below, that is mended first."""


@dataclass(frozen=True)
class Choice:
    """A group that can become narrower.

    Attributes:
        widths: it may be left with, the widest, of all its channels, first.
        curve: what that costs the answers.

    """

    widths: tuple[int, ...]
    curve: Curve


@dataclass(frozen=True)
class _Step:
    """Another width of a group: what it adds to the error of the answers, and to the cost."""

    group: str
    width: int
    error: float
    cost: int

    @property
    def price(self) -> float:
        """What the answers lose for a unit that is saved."""
        return self.error / -self.cost


@dataclass
class _Search:
    cost: Cost
    limit: float
    choices: Mapping[str, Choice]
    widths: dict[str, int]
    steps: dict[str, list[_Step]] = field(default_factory=dict)
    spent: float = field(init=False)

    def __post_init__(self) -> None:
        self.spent = self.cost(self.widths)

    def narrow(self) -> bool:
        """Take steps until the limit is met; return whether it is."""
        while self.spent > self.limit:
            step = min((step for step in self._steps() if step.cost < 0), key=lambda one: one.price, default=None)
            if step is None:
                return False
            self._take(step)
        return True

    def widen(self) -> None:
        """Give back what there is room for, where it helps the answers most."""
        while (step := min(self._wider(), key=lambda one: one.error, default=None)) is not None:
            self._take(step)

    def exchange(self) -> None:
        """Let each group in turn have another width at the cost of the others, where all in all that helps.

        It is a wider one, but where too much of what the limit allows is left.
        """
        for group, choice in self.choices.items():
            for width in reversed(choice.widths):
                if width > self.widths[group] or (width < self.widths[group] and self._unused(self.spent)):
                    self._try(group, width)

    def _unused(self, spent: float) -> float:
        """Return what is left of the limit, but for as much as is close enough."""
        return max(self.limit - spent - CLOSE * self.cost.whole, 0.0)

    def _merit(self, widths: Widths, spent: float) -> tuple[float, float]:
        """Return what is to be small: first what is unused, then the error."""
        return self._unused(spent), sum(choice.curve(widths[name]) for name, choice in self.choices.items())

    def _try(self, group: str, width: int) -> None:
        others = {name: choice for name, choice in self.choices.items() if name != group}
        steps = {name: steps for name, steps in self.steps.items() if name not in self.cost.beside(group)}
        other = _Search(self.cost, self.limit, others, self.widths | {group: width}, steps)
        if other.narrow():
            other.widen()
            if self._merit(other.widths, other.spent) < self._merit(self.widths, self.spent):
                self.widths, self.spent, self.steps = other.widths, other.spent, {}

    def _wider(self) -> Iterator[_Step]:
        room = self.limit - self.spent
        return (step for step in self._steps() if step.width > self.widths[step.group] and step.cost <= room)

    def _steps(self) -> Iterator[_Step]:
        for group in self.choices:
            if group not in self.steps:
                self.steps[group] = list(self._steps_of(group))
            yield from self.steps[group]

    def _steps_of(self, group: str) -> Iterator[_Step]:
        choice, now = self.choices[group], self.widths[group]
        error = choice.curve(now)
        for width in choice.widths:
            if width != now:
                yield _Step(group, width, choice.curve(width) - error, self.cost.change(self.widths, group, width))

    def _take(self, step: _Step) -> None:
        self.widths[step.group] = step.width
        self.spent += step.cost
        for group in {step.group} | self.cost.beside(step.group):
            self.steps.pop(group, None)


def allot(cost: Cost, limit: float, choices: Mapping[str, Choice]) -> dict[str, int] | None:
    """Return how many channels each group keeps; None where no widths cost as little as the limit.

    Args:
        cost: of the model by widths; it falls with them.
        limit: what it may cost at most.
        choices: the groups, with what they may be left with and what that costs the answers.

    """
    widest = {name: choice.widths[0] for name, choice in choices.items()}
    search = _Search(cost, limit, choices, widest)
    if not search.narrow():
        return None
    search.widen()
    search.exchange()
    return search.widths
