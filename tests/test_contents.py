"""Memory of mapped files."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from graphopt.runtime.contents import mapped, release

PAGES = 256


def resident(path: Path) -> int:
    """Return how many kilobytes of a mapped file are in this process's memory."""
    found, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            found = line.endswith(str(path))
        elif found and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what is resident")
@pytest.mark.parametrize("start", [0, 1, mmap.PAGESIZE])
def test_what_is_released_takes_no_memory_and_reads_the_same(tmp_path: Path, start: int) -> None:
    content = np.random.default_rng(0).integers(0, 256, PAGES * mmap.PAGESIZE, np.uint8)
    path = tmp_path / "weights"
    content.tofile(path)
    view = mapped(path)[start:]
    view.sum()
    assert resident(path) >= (PAGES - 1) * mmap.PAGESIZE >> 10
    release(view)
    assert resident(path) <= 2 * mmap.PAGESIZE >> 10
    np.testing.assert_array_equal(view, content[start:])


def test_memory_of_no_file_stays() -> None:
    array = np.arange(9, dtype=np.uint8)
    release(array)
    np.testing.assert_array_equal(array, np.arange(9))
