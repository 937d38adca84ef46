"""Fixtures that several files of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graphopt.runtime import cache


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a cache of compiled programs that no other test sees."""
    folder = tmp_path / "the cache"
    monkeypatch.setenv("GRAPHOPT_CACHE", str(folder))
    yield folder
    cache.clear()
