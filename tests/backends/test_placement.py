"""Workers of TVM's pool are kept off the core of their caller."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import graphopt
from graphopt.backends.tvm import executor, placement
from graphopt.backends.tvm.placement import Placement, threads
from tests.networks import network

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
needs_cores = pytest.mark.skipif(len(CORES) < 2, reason="there is one core, or the system places no threads")


@pytest.fixture
def worker():
    """Yield the number of a thread that waits."""
    begun, done = threading.Event(), threading.Event()
    found = []

    def wait() -> None:
        found.append(threading.get_native_id())
        begun.set()
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    yield found[0]
    done.set()
    thread.join()


@needs_cores
def test_workers_go_where_their_caller_is_not(worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = Placement({worker})
    for core in (CORES[0], CORES[1], CORES[0]):
        monkeypatch.setattr(placement, "_core_of_caller", lambda core=core: lambda: core)
        placed.before_run()
        assert os.sched_getaffinity(worker) == set(CORES) - {core}


@needs_cores
def test_a_caller_of_one_core_keeps_its_workers_there(worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(worker)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {CORES[0]})
    monkeypatch.setattr(placement, "_core_of_caller", lambda: lambda: CORES[0])
    Placement({worker}).before_run()
    monkeypatch.undo()
    assert os.sched_getaffinity(worker) == allowed


def test_what_the_system_refuses_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_core_of_caller", lambda: lambda: -2)
    Placement({2**22 + 1}).before_run()  # there is no such thread


@needs_cores
def test_a_run_places_the_workers_of_its_own_thread() -> None:
    module = graphopt.compile(network("g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu (x) }"), cache=False)
    found: list[Placement] = []

    def run() -> None:
        module(np.zeros((1, 3, 8, 8), np.float32))
        found.append(executor._POOL.placement)

    other = threading.Thread(target=run)
    other.start()
    other.join()
    run()
    first, second = (each._workers for each in found)
    assert len(first) == len(CORES) - 1
    assert not set(first) & set(second)


def test_threads_of_this_process_are_known() -> None:
    assert threading.get_native_id() in threads() or not threads()
