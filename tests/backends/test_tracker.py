"""Measuring through TVM's RPC tracker: two servers on loopback, and what is said where there are none."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tvm import rpc

from graphopt.backends.tvm.tuning import measure
from graphopt.backends.tvm.tuning.measure import Meter
from graphopt.backends.tvm.tuning.places import ThisMachine, TrackedMachines
from graphopt.backends.tvm.tuning.search import Comparison, Trial
from graphopt.backends.tvm.tuning.space import Space
from graphopt.errors import MeasurementError
from tests.backends.test_tuning import KNOBS, TARGET, asked, tasks

NEEDED = "cloudpickle", "psutil", "tornado"
ABSENT = [name for name in NEEDED if find_spec(name) is None]
SERVERS = 2
_PATIENCE = 60.0


@pytest.fixture(scope="module")
def tracker() -> Iterator[str]:
    """Start a tracker with two servers, each a process; yield its address."""
    if ABSENT:
        pytest.skip(f"TVM's tracker and servers need {', '.join(ABSENT)}: pip install -e '.[rpc]'")
    from tvm.rpc.tracker import Tracker

    host = "127.0.0.1"
    tracker = Tracker(host, port=_free_port(), port_end=1 << 16, silent=True)
    address = host, tracker.port
    servers = [
        rpc.Server(host, port=_free_port(), port_end=1 << 16, tracker_addr=address, key="box", silent=True)
        for _ in range(SERVERS)
    ]
    try:
        _wait(address)
        yield f"{host}:{tracker.port}"
    finally:
        for server in servers:
            server.terminate()
        tracker.terminate()


def test_several_servers_measure_at_the_same_time(tracker: str) -> None:
    place = TrackedMachines(tracker, "box")
    assert place.width == SERVERS
    meter = Meter(place, TARGET)
    trials = []
    for kind in ("dense", "pool", "pointwise"):
        (task,) = tasks(KNOBS[kind])
        space = Space(asked(task), seed=0)
        default = space.add({})
        candidate = space.next(default)
        assert candidate is not None
        trials.append(Trial(task, default, candidate))
    found = meter(trials)
    assert all(one is not None and one.is_right and len(one.reference) == len(one.candidate) for one in found)


def test_a_server_that_fails_is_one_sentence(tracker: str) -> None:
    place = TrackedMachines(tracker, "box")
    sentence = "a server with the key 'box' failed: .*; look at its log"
    with pytest.raises(MeasurementError, match=sentence), place.session(1) as session:
        session.load(Path(__file__))


def test_a_measurement_is_repeated_where_a_server_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks(KNOBS["dense"])
    meter = Meter(ThisMachine(), TARGET)
    failures = [MeasurementError("gone")]

    def compare(*_: object) -> Comparison:
        if failures:
            raise failures.pop()
        return Comparison([1.0], [1.0])

    monkeypatch.setattr(measure, "compare", compare)
    assert meter([Trial(task, {}, {})]) == [Comparison([1.0], [1.0])]
    failures.extend([MeasurementError("gone for good"), MeasurementError("gone")])
    with pytest.raises(MeasurementError, match="for good"):
        meter([Trial(task, {}, {})])


def test_a_key_that_no_server_has_is_refused(tracker: str) -> None:
    with pytest.raises(MeasurementError, match="no server with the key 'board': its servers have box; start one by"):
        TrackedMachines(tracker, "board")


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":9190", "localhost:none", "localhost:0", "h:65536"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(MeasurementError, match="is no address of a tracker; write HOST:PORT"):
        TrackedMachines(address, "box")


def test_where_nothing_listens_is_no_tracker() -> None:
    with pytest.raises(MeasurementError, match="no tracker answers at 127.0.0.1:[0-9]+ .*; start one by"):
        TrackedMachines(f"127.0.0.1:{_free_port()}", "box")


def test_what_answers_otherwise_is_no_tracker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        with pytest.raises(MeasurementError, match=f"no tracker answers at 127.0.0.1:{port}"):
            TrackedMachines(f"127.0.0.1:{port}", "box", patience=0.2)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(address: tuple[str, int]) -> None:
    """Wait until the servers are known to the tracker."""
    end = time.monotonic() + _PATIENCE
    session = rpc.connect_tracker(*address)
    while len(session.summary()["server_info"]) < SERVERS:
        if time.monotonic() > end:
            pytest.fail("the servers did not find the tracker")
        time.sleep(0.1)
    session.close()
