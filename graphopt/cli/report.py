"""The report of a pipeline for a person, from its plain data (`graphopt.pipeline.report.Report.to_dict`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from graphopt.cli.render import table

_STYLES = {"applied": "green", "missed": "yellow"}


def explanation(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tell pass by pass what it changed, then each remark: what was rewritten, what was refused and why."""
    tables = {
        ("pass", ">changes", ">seconds"): _pass_rows(report["passes"]),
        ("operator", ">before", ">after"): _operator_rows(report["before"]["ops"], report["after"]["ops"]),
    }
    for heads, rows in tables.items():
        if filled := list(rows):
            yield ""
            yield table(heads, filled)
    if report["remarks"]:
        yield ""
        yield from map(_remark, report["remarks"])


def _pass_rows(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield a row a pass, its runs in a fixpoint summed up."""
    changes: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for record in records:
        changes[record["text"]] += record["changes"]
        seconds[record["text"]] += record["seconds"]
    return ((text, str(count), f"{seconds[text]:.3f}") for text, count in changes.items())


def _operator_rows(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    for op in dict.fromkeys((*before, *after)):
        if before.get(op, 0) != after.get(op, 0):
            yield op, before.get(op, 0), after.get(op, 0)


def _remark(remark: Mapping[str, str]) -> Text:
    """Write a remark as its `str` does: a line that can be searched for."""
    verdict = str(remark["verdict"])
    where = f": {remark['pass_name']}: {remark['node']}: {remark['message']}"
    return Text.assemble((verdict, _STYLES.get(verdict, "")), where)
