"""What came of a contest between runtimes, as a table and as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from graphopt.cli.render import fields, table
from graphopt.cli.summary import quantity

if TYPE_CHECKING:
    from graphopt.benchmark.contest import Outcome, Ratio, Score

_HEADS = "model", ">batch", "runtime", ">median ms", ">spread", ">÷ graphopt", ">spread", ">cores", ">memory", "answers"
_SPARE_CORES = 0.1
"""How much more than its threads a process may use: the interpreter has a thread of its own."""


def tables(outcomes: Sequence[Outcome], threads: int) -> list[Table | str]:
    """Lay out the scores, what they amount to, and what is to be said of single ones."""
    lines = [line for outcome in outcomes for line in _remarks(outcome)]
    rows: dict[str, object] = {"threads": threads, **_versions(outcomes), **_verdicts(outcomes)}
    return [table(_HEADS, _rows(outcomes)), "", fields(rows | ({"remarks": lines} if lines else {}))]


def document(outcomes: Sequence[Outcome], threads: int) -> dict[str, Any]:
    """Return the scores as plain data: times in milliseconds, cores on average, memory in bytes."""
    return {
        "threads": threads,
        "versions": _versions(outcomes),
        "results": [
            {
                "model": str(outcome.case.source),
                "batch": outcome.case.batch,
                "inputs": {name: list(array.shape) for name, array in outcome.case.feeds.items()},
                "others_cores": outcome.others.cores if outcome.others else None,
                "runtimes": {
                    name: _described(score, outcome.ratios.get(name)) for name, score in outcome.scores.items()
                },
            }
            for outcome in outcomes
        ],
    }


def _described(score: Score, ratio: Ratio | None) -> dict[str, object]:
    if score.failure:
        return {"failure": score.failure}
    timing = score.timing
    described: dict[str, object] = {
        "median_ms": timing.median,
        "best_ms": timing.best,
        "spread": timing.spread,
        "repeats": len(timing.samples),
        "threads": score.threads,
        "cores": score.cores,
        "peak_memory": score.memory,
        "idle_between_turns": score.slept,
        "note": score.note,
    }
    if ratio:
        described |= {"ratio": ratio.value, "ratio_spread": ratio.spread}
    if worst := score.difference:
        described |= {"worst": {"output": worst.output, "error": worst.error, "reason": worst.reason}}
    return described


def _rows(outcomes: Sequence[Outcome]) -> Iterator[Sequence[object]]:
    for outcome in outcomes:
        model, batch = outcome.case.source.stem, "" if outcome.case.batch is None else outcome.case.batch
        for name, score in outcome.scores.items():
            if score.failure:
                yield model, batch, name, "failed"
                continue
            timing, ratio, worst = score.timing, outcome.ratios.get(name), score.difference
            yield (
                model,
                batch,
                name,
                f"{timing.median:.3f}",
                f"{timing.spread:.0%}",
                f"{ratio.value:.2f}" if ratio else "",
                f"{ratio.spread:.0%}" if ratio and ratio.spread is not None else "",
                f"{score.cores:.2f}",
                "" if score.memory is None else quantity(score.memory, "B"),
                "" if worst is None else f"{'equal' if score.is_equal else 'different'}, {worst.error:.1e}",
            )


def _versions(outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {name: score.version for outcome in outcomes for name, score in outcome.scores.items() if score.version}


def _verdicts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Sum up the ratios of each opponent over the cases that it ran, by their geometric mean."""
    ratios: dict[str, list[float]] = {}
    for outcome in outcomes:
        for name, ratio in outcome.ratios.items():
            ratios.setdefault(name, []).append(ratio.value)
    return {
        f"against {name}": f"graphopt is {statistics.geometric_mean(values):.2f} × as fast"
        + (f", the geometric mean of {len(values)}" if len(values) > 1 else ", by medians")
        for name, values in ratios.items()
    }


def _remarks(outcome: Outcome) -> Iterator[str]:
    where = f"{outcome.case.source.stem}, batch {outcome.case.batch}"
    for name, score in outcome.scores.items():
        if score.failure:
            yield f"{where}: {name} failed: {score.failure}"
            continue
        if score.note:
            yield f"{where}: of {name}, {score.note}"
        if score.cores > score.threads + _SPARE_CORES:
            yield f"{where}: {name} kept {score.cores:.2f} cores busy with {score.threads} threads"
        if not score.slept:
            yield f"{where}: the threads of {name} did not sleep in the turns of others"
        if not score.is_equal:
            yield f"{where}: {name} answers otherwise: {score.difference}"
