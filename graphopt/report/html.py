"""A story as a page of one file, which needs nothing else: no server, no network."""

from __future__ import annotations

import gzip
import html
import json
from pathlib import Path

from graphopt.files import atomic_path
from graphopt.ir.collector import patient_collector
from graphopt.report.assets import document
from graphopt.report.story import Story

HEIGHT = "720px"
"""Of a page in a notebook."""


def page(story: Story) -> str:
    """Return the page of a story."""
    with patient_collector():  # it would walk a large story many times
        text = json.dumps(story.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, which a damaged name may hold, has no UTF-8.
    return document(story.title, gzip.compress(text.encode("utf-8", "replace"), mtime=0))


def write_report(story: Story, path: Path) -> None:
    """Write the page of a story, the whole of it or nothing; raises OutputError."""
    text = page(story)
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))


def frame(story: Story) -> str:
    """Return the page of a story as an element of another page, such as a notebook."""
    held = html.escape(page(story))
    return f'<iframe srcdoc="{held}" style="width: 100%; height: {HEIGHT}; border: 0" title="graphopt"></iframe>'
