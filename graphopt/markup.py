"""Small tables in HTML, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Lay out rows under heads; what is in the cells is text, whatever it looks like."""
    lines = [f"<caption>{_text(caption)}</caption>" if caption else "", _row("th", heads)]
    lines += [_row("td", row) for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(cell: object) -> str:
    return html.escape(str(cell))
