"""What became of a model, in three lines of plain text: `rich` takes longer to import than small models to optimize."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PREFIXES = ("", "k", "M", "G", "T", "P")


def quantity(number: float, unit: str = "") -> str:
    """Write a number with three digits and a decimal prefix: 25600000 is `25.6 M`."""
    power = 0
    while abs(number) >= 999.5 and power + 1 < len(_PREFIXES):
        number /= 1000
        power += 1
    digits = f"{number:.3g}" if power or isinstance(number, float) else str(number)
    return f"{digits} {_PREFIXES[power]}{unit}".rstrip()


def summary(report: Mapping[str, Any]) -> str:
    """Say what a pipeline did, from the plain data of its report (`graphopt.pipeline.report.Report.to_dict`)."""
    before, after = report["before"], report["after"]
    changes = sum(record["changes"] for record in report["passes"])
    seconds = sum(record["seconds"] for record in report["passes"])
    rows = {
        "nodes": f"{before['nodes']} → {after['nodes']}",
        "parameters": f"{quantity(before['parameters'])} → {quantity(after['parameters'])}",
        "changes": f"{changes} in {seconds:.2f} s",
    }
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in rows.items())
