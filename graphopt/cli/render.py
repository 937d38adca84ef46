"""Results as tables and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text


def fields(rows: Mapping[str, object]) -> Table:
    """Lay out names and what belongs to them, one a line; a sequence takes a line an element."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        lines = value if isinstance(value, list | tuple) else [value]
        for index, line in enumerate(lines):
            grid.add_row("" if index else name, Text(str(line)))
    return grid


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Lay out rows under heads; a head that begins with `>` aligns its column to the right."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        grid.add_column(head.removeprefix(">"), justify="right" if head.startswith(">") else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return grid
