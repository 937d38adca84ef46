"""A picture of a contest: the times of each case, relative to graphopt's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphopt import pictures
from graphopt.benchmark.runtimes import SELF
from graphopt.runtime.benchmark import Timing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from graphopt.benchmark.contest import Outcome

_BAR = 0.8  # of the height between two cases


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw a bar a runtime and case into a file of one of `pictures.FORMATS`; raises OutputError."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra, and half a second to import

    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.scores))
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(names) * len(outcomes)), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(names):
        _draw_runtime(axes, outcomes, name, offset=_BAR * (index / len(names) - 0.5), height=_BAR / len(names))
    axes.set_yticks(range(len(outcomes)), [_title(outcome) for outcome in outcomes])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(f"time ÷ the median of {SELF}; numbers: medians in ms; whiskers: quartiles")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(names), frameon=False)
    pictures.save(figure, path)


def _draw_runtime(axes: Axes, outcomes: Sequence[Outcome], name: str, *, offset: float, height: float) -> None:
    """Draw the bars of one runtime; where it failed there is none."""
    ran = [(row, outcome) for row, outcome in enumerate(outcomes) if not outcome.scores[name].failure]
    ratios = [1.0 if name == SELF else outcome.ratios[name].value for _, outcome in ran]
    timings = [outcome.scores[name].timing for _, outcome in ran]
    bars: Any = axes.barh(
        [row + offset for row, _ in ran],
        ratios,
        height,
        align="edge",
        label=name,
        xerr=list(zip(*map(_whiskers, ratios, timings), strict=True)),
        error_kw={"elinewidth": 0.8},
    )
    axes.bar_label(bars, [f"{timing.median:.3g}" for timing in timings], padding=3, fontsize="small")


def _whiskers(ratio: float, timing: Timing) -> tuple[float, float]:
    """Return how far the quartiles are from the median, at the scale of the bar."""
    lower, median, upper = statistics.quantiles(timing.samples, n=4)
    return ratio * (1 - lower / median), ratio * (upper / median - 1)


def _title(outcome: Outcome) -> str:
    batch = outcome.case.batch
    return outcome.case.source.stem if batch is None else f"{outcome.case.source.stem}, batch {batch}"
