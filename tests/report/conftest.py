"""A real browser, and report pages in it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graphopt.report import assets
from tests.report.driving import Pages, launched

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="pages are tested in a browser, by playwright")
    if shutil.which("chromium") is None:
        pytest.skip("pages are tested in a browser: install chromium")
    with launched() as held:
        yield held


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Return what opens the page of a story, or a page that is written."""
    pages = Pages(browser)

    def open_page(told: dict[str, Any] | Path, **view: Any) -> Any:
        if isinstance(told, Path):
            return pages.open(told, **view)
        path = tmp_path / "report.html"
        path.write_text(assets.document(told["title"], gzip.compress(json.dumps(told).encode())), encoding="utf-8")
        return pages.open(path, **view)

    yield open_page
    pages.close()
