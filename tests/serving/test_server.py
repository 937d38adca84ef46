"""A server as a process: it listens, answers as the program does, and stops as it is told to."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.cli.main import build_app
from graphopt.errors import ServingError
from graphopt.serving.server import _listen
from models.digits import MODEL, TEST
from tests.serving.programs import PATIENCE, question

ROOT = Path(__file__).parents[2]
INFER = "/v2/models/m/infer"
SLOW = """
import sys, time
from graphopt.serving.limits import Limits
from graphopt.serving.repository import ModelRepository
from graphopt.serving.server import serve
from tests.serving.programs import Rows

class Slow(Rows):
    def run(self, feeds):
        time.sleep(float(feeds["x"][0, 0]))
        return super().run(feeds)

limits = Limits(batch=1, grace=float(sys.argv[1]))
serve(ModelRepository({"m": Slow()}, limits), "127.0.0.1", 0, lambda address: print(address, file=sys.stderr))
"""
Server = tuple[subprocess.Popen[str], str]


@contextmanager
def process(*arguments: object) -> Iterator[Server]:
    """Start a server; yield it and its address."""
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stderr
            line = server.stderr.readline()
            assert "http://" in line, line + server.stderr.read()
            yield server, line[line.index("http://") :].split("/v2")[0].strip()
        finally:
            server.kill()


def ask(client: httpx.Client, seconds: float) -> httpx.Response:
    return client.post(INFER, json=question([[seconds, 0, 0]]), timeout=PATIENCE)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def waiting(client: httpx.Client) -> int:
    lines = client.get("/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("graphopt_queue_requests{")).split()[-1]))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serving") / "digits.gopt"
    graphopt.compile(MODEL).save(path)
    return path


def test_a_served_program_answers_as_it_does_here(digits: Path) -> None:
    images = np.load(TEST)["images"][:12].astype(np.float32)
    expected = graphopt.load(digits).run({"image": images})["logits"]

    def classify(image: np.ndarray[Any, Any]) -> Any:
        tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [image.tolist()]}
        answer = httpx.post(f"{address}/v2/models/digits/infer", json={"inputs": [tensor]}, timeout=PATIENCE)
        return answer.json()["outputs"][0]["data"]

    with process("-m", "graphopt", "serve", digits, f"again={digits}", "--port", 0) as (server, address):
        assert httpx.get(f"{address}/v2/health/ready").json() == {"ready": True}
        assert httpx.get(f"{address}/v2/models/again").json()["name"] == "again"
        with ThreadPoolExecutor(4) as clients:
            logits = list(clients.map(classify, images))
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0
        assert server.stderr
        assert server.stderr.read() == "stopped\n"


def test_a_server_that_stops_answers_what_it_has_taken() -> None:
    with process("-c", SLOW, PATIENCE) as (server, address), httpx.Client(base_url=address) as watcher:
        with ThreadPoolExecutor(4) as clients:
            asked = [clients.submit(ask, watcher, 0.5) for _ in range(4)]
            wait_for(lambda: waiting(watcher) == 3)
            server.send_signal(signal.SIGTERM)
            wait_for(lambda: watcher.get("/v2/health/ready").status_code == 503)
            assert watcher.get("/v2/health/live").status_code == 200
            assert (refused := ask(watcher, 0)).status_code == 503
            assert refused.headers["retry-after"]
            assert [answer.result().status_code for answer in asked] == [200] * 4
        assert server.wait(PATIENCE) == 0
        with pytest.raises(httpx.TransportError):
            watcher.get("/v2/health/live")


def test_when_the_grace_is_over_what_is_left_is_refused() -> None:
    with process("-c", SLOW, 0.1) as (server, address), httpx.Client(base_url=address) as watcher:
        with ThreadPoolExecutor(2) as clients:
            asked = [clients.submit(ask, watcher, PATIENCE) for _ in range(2)]
            wait_for(lambda: waiting(watcher) == 1)
            server.send_signal(signal.SIGTERM)
            assert [answer.result().status_code for answer in asked] == [503, 503]
        assert server.wait(PATIENCE / 2) == 0


def test_a_second_signal_ends_a_server_at_once() -> None:
    with (
        process("-c", SLOW, PATIENCE) as (server, address),
        httpx.Client(base_url=address) as watcher,
        ThreadPoolExecutor(2) as clients,
    ):
        asked = [clients.submit(ask, watcher, PATIENCE) for _ in range(2)]
        wait_for(lambda: waiting(watcher) == 1)
        server.send_signal(signal.SIGTERM)
        wait_for(lambda: watcher.get("/v2/health/ready").status_code == 503)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE / 2) == 130
        assert [answer.result().status_code for answer in asked] == [503, 503]


def test_a_client_that_goes_away_leaves_the_queue() -> None:
    with process("-c", SLOW, PATIENCE) as (server, address), httpx.Client(base_url=address) as watcher:
        with ThreadPoolExecutor(2) as clients:
            asked = [clients.submit(ask, watcher, 0.6) for _ in range(2)]
            wait_for(lambda: waiting(watcher) == 1)
            with pytest.raises(httpx.ReadTimeout):  # it would run for longer than this test waits for the end
                httpx.post(f"{address}{INFER}", json=question([[PATIENCE, 0, 0]]), timeout=0.1)
            wait_for(lambda: 'status="499"} 1.0' in watcher.get("/metrics").text)
            assert [answer.result().status_code for answer in asked] == [200, 200]
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE / 2) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_send_answers_at_once(host: str) -> None:
    """Where asyncio does not know them for TCP, an answer waits 40 ms for the client to acknowledge its head."""

    async def connect() -> int:
        accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        with _listen(host, 0) as listener:
            async with await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listener):
                _, client = await asyncio.open_connection(host, listener.getsockname()[1])
                writer = await accepted
                delay = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                client.close()
                writer.close()
                return int(delay)

    try:
        assert asyncio.run(connect())
    except ServingError:
        pytest.skip(f"this machine has no {host}")


@pytest.fixture(scope="module")
def standing(digits: Path) -> Iterator[str]:
    """Return the address of a server that no test stops."""
    with process("-m", "graphopt", "serve", digits, "--port", 0) as (_, address):
        yield address


def test_what_requests_leave_behind_is_collected(standing: str) -> None:
    """The command line lets Python's collector start rarely, which would be a leak here."""
    with httpx.Client(base_url=standing) as client:
        tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0] * 64}

        def resident() -> float:
            for _ in range(400):
                client.post("/v2/models/digits/infer", json={"inputs": [tensor]}).raise_for_status()
            lines = client.get("/metrics").text.splitlines()
            return float(next(line for line in lines if line.startswith("process_resident_memory_bytes")).split()[1])

        before = resident()
        assert resident() - before < 1 << 20


@pytest.mark.parametrize("line", [b"x: y\r\n", b"y" * 1000])
def test_a_head_without_an_end_closes_the_connection(standing: str, line: bytes) -> None:
    with socket.create_connection((httpx.URL(standing).host, httpx.URL(standing).port or 0), PATIENCE) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: s\r\nx: ")
        with pytest.raises(OSError, match=r"reset|pipe"):
            for _ in range(10_000):
                client.sendall(line * 50)


def test_requests_behind_each_other_are_answered_in_their_order(standing: str) -> None:
    head = b"POST /v2/models/digits HTTP/1.1\r\nHost: s\r\nContent-Length: 90000\r\n\r\n"
    last = b"GET /v2/health/live HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n"
    with socket.create_connection((httpx.URL(standing).host, httpx.URL(standing).port or 0), PATIENCE) as client:
        client.sendall((head + b"-" * 90_000) * 5 + last)
        answers = client.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 405") == 5
    assert answers.endswith(b'{"live":true}')


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["missing.gopt"], 3, "'missing.gopt' is no compiled program"),
        (["{digits}", "{digits}"], 2, "two models are named 'digits'"),
        (["a/b={digits}"], 11, "cannot stand in an address"),
        (["{digits}", "--host", "203.0.113.1"], 11, "cannot listen on 203.0.113.1:8000"),
        (["{digits}", "--queue", "0"], 2, "--queue"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(digits: Path, arguments: list[str], code: int, sentence: str) -> None:
    result = CliRunner().invoke(build_app(["serve"]), ["serve", *(text.format(digits=digits) for text in arguments)])
    assert (result.exit_code, sentence in " ".join(result.output.split())) == (code, True), result.output


def test_without_what_serves_it_says_what_to_install(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "graphopt.serving.server")
    result = CliRunner().invoke(build_app(["serve"]), ["serve", str(digits)])
    assert (result.exit_code, "pip install 'graphopt[serve]'" in result.output) == (11, True), result.output
