"""What all tests share: patience, and fixtures that several files ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from graphopt.runtime import cache

settings.register_profile("patient", deadline=None)  # an example takes as long as others keep the cores busy
settings.load_profile("patient")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a cache of compiled programs that no other test sees."""
    folder = tmp_path / "the cache"
    monkeypatch.setenv("GRAPHOPT_CACHE", str(folder))
    yield folder
    cache.clear()
