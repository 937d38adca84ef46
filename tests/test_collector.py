from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from graphopt.ir.collector import patient_collector


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_the_thresholds_come_back_after_nested_and_failing_blocks(thresholds: tuple[int, int, int]) -> None:
    with pytest.raises(KeyError), patient_collector():
        with patient_collector():
            assert gc.get_threshold() > thresholds
        assert gc.get_threshold() > thresholds
        raise KeyError
    assert gc.get_threshold() == thresholds


def test_blocks_may_end_in_another_order_than_they_began(thresholds: tuple[int, int, int]) -> None:
    first, second = patient_collector(), patient_collector()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == thresholds


def test_a_collector_that_is_off_stays_off() -> None:
    gc.set_threshold(0)
    with patient_collector():
        assert gc.get_threshold()[0] == 0


def test_a_command_ends_without_a_walk_through_its_objects() -> None:
    program = """
import gc, sys
from graphopt.cli.main import main
walks = []
gc.callbacks.append(lambda phase, info: walks.append(info))
sys.argv = ["graphopt", "passes"]
try:
    main()
except SystemExit:
    pass
print(f"{len(walks)} walks")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 walks"
