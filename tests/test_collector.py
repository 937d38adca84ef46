from __future__ import annotations

import gc
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
