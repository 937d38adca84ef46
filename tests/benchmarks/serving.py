"""Many clients at one server: python -m tests.benchmarks.serving [--clients 200] [--seconds 10].

A server process has models/digits, and every client, on a connection of its own, asks it for one image after the
other, half of them in JSON and half in bytes, and compares each answer with the one that the program gives here. Then
the same with a queue that is too short, where some requests are to be refused. While the clients still ask, the server
is told to stop. Prints a row a server; ends with 1 where a request had no answer or two, an answer was wrong, memory
grew, nothing was shed where it was to be, or the server did not end with 0. Needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import graphopt
from graphopt.tensors import Array
from models.digits import MODEL, TEST

QUEUES = (256, 16)
"""One that all clients fit in, and one that they do not."""
GROWTH = 16 << 20
"""Bytes of memory that are no leak: what allocators keep once the first second has gone by."""
TOLERANCE = 1e-4
PAUSE = 0.1
"""Seconds after which a client that was refused asks again: sooner than Retry-After says."""
COLUMNS = (
    *("queue", "requests", "200", "503", "lost", "closed at the end", "twice", "wrong", "MiB", "MiB at the end"),
    *("answers a second", "p50, ms", "p99, ms", "exit code"),
)
HEADER = "Inference-Header-Content-Length"


@dataclass
class Tally:
    """What the clients of one server found.

    Attributes:
        statuses: how many answers had each.
        seconds: of each answer with outputs.
        lost: requests without an answer, while the server had not been told to stop.
        closed: requests that crossed with the end of their connection after that.
        twice: connections on which more came than was asked for.
        wrong: answers to another request, or with other numbers.
        memory: bytes that the server had after a second, and before it was told to stop.
        stopping: whether it has been told to stop.

    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    closed: int = 0
    twice: int = 0
    wrong: int = 0
    memory: tuple[int, int] = (0, 0)
    stopping: bool = False


class Asker:
    """A client: one connection, one image after the other, in JSON or in bytes."""

    def __init__(self, number: int, images: Array, expected: Array, tally: Tally) -> None:
        self._number = number
        self._images = images
        self._expected = expected
        self._tally = tally

    async def ask(self, port: int) -> None:
        """Ask until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in itertools.count():
            index = (self._number + 7 * turn) % len(self._images)
            identity = f"{self._number}.{turn}"
            start = time.perf_counter()
            try:
                writer.write(request(self._images[index : index + 1], identity, binary=self._number % 2 == 1))
                status, header, body = await _response(reader)
            except (OSError, EOFError):
                self._tally.closed += self._tally.stopping
                self._tally.lost += not self._tally.stopping
                break
            self._tally.statuses[status] += 1
            if status == 200:
                self._tally.seconds.append(time.perf_counter() - start)
                self._tally.wrong += not self._is_right(body, header, identity, index)
            if self._tally.stopping:
                break
            if status == 503:
                await asyncio.sleep(PAUSE)
        writer.close()
        self._tally.twice += bool(await _rest(reader))

    def _is_right(self, body: bytes, header: int | None, identity: str, index: int) -> bool:
        said = json.loads(body[:header])
        tensor = said["outputs"][0]
        logits = np.frombuffer(body[header:], np.float32) if header else np.array(tensor["data"], np.float32)
        return said["id"] == identity and np.allclose(logits, self._expected[index], TOLERANCE, TOLERANCE)


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    images = np.load(TEST)["images"].astype(np.float32)
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    passed = []
    with TemporaryDirectory() as folder:
        program = Path(folder) / "digits.gopt"
        graphopt.compile(MODEL, shapes=[{"image": [batch, 1, 8, 8]} for batch in (1, 8, 32)]).save(program)
        expected = graphopt.load(program).run({"image": images})["logits"]
        for queue in QUEUES:
            tally = Tally()
            askers = [Asker(number, images, expected, tally) for number in range(arguments.clients)]
            with served(program, queue) as (server, port):
                asyncio.run(crowd(askers, tally, server, port, arguments.seconds))
                code = server.wait(60)
            sys.stdout.write(f"| {' | '.join(map(str, row(queue, tally, code, arguments.seconds)))} |\n")
            sys.stdout.flush()
            passed.append(code == 0 and went_well(tally, sheds=queue < arguments.clients // 2))
    return int(not all(passed))


async def crowd(
    askers: Sequence[Asker], tally: Tally, server: subprocess.Popen[str], port: int, seconds: float
) -> None:
    """Let all clients ask at once, and tell the server to stop while they do."""
    tasks = [asyncio.ensure_future(asker.ask(port)) for asker in askers]
    await asyncio.sleep(1.0)
    before = _resident(server.pid)
    await asyncio.sleep(seconds - 1.0)
    tally.memory = before, _resident(server.pid)
    tally.stopping = True
    server.send_signal(signal.SIGTERM)
    await asyncio.gather(*tasks)


def row(queue: int, tally: Tally, code: int, seconds: float) -> list[object]:
    """Return what the table says of a server."""
    times = np.array(tally.seconds) * 1e3
    answered = sum(tally.statuses.values())
    return [
        *(queue, answered + tally.lost + tally.closed, tally.statuses[200], tally.statuses[503]),
        *(tally.lost, tally.closed, tally.twice, tally.wrong, *(size >> 20 for size in tally.memory)),
        *(round(len(times) / seconds), f"{np.median(times):.1f}", f"{np.quantile(times, 0.99):.1f}", code),
    ]


def went_well(tally: Tally, *, sheds: bool) -> bool:
    """Whether each request was answered once and rightly, memory stayed what it was, and what was too much refused."""
    before, after = tally.memory
    clean = not (tally.lost or tally.twice or tally.wrong or tally.statuses.keys() - {200, 503})
    return clean and after - before < GROWTH and tally.statuses[200] > 0 and (tally.statuses[503] > 0 or not sheds)


def request(image: Array, identity: str, *, binary: bool) -> bytes:
    """Write a request for one image, the answer in the same form."""
    tensor = {"name": "image", "shape": image.shape, "datatype": "FP32"}
    said = {"id": identity, "inputs": [tensor], "parameters": {"binary_data_output": binary}}
    data = image.tobytes() if binary else b""
    tensor |= {"parameters": {"binary_data_size": len(data)}} if binary else {"data": image.reshape(-1).tolist()}
    text = json.dumps(said).encode()
    extra = f"{HEADER}: {len(text)}\r\n" if binary else ""
    head = f"POST /v2/models/digits/infer HTTP/1.1\r\nHost: s\r\n{extra}Content-Length: {len(text) + len(data)}\r\n\r\n"
    return head.encode() + text + data


@contextmanager
def served(program: Path, queue: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server on a free port."""
    command = [sys.executable, "-m", "graphopt", "serve", str(program), "--port", "0", "--queue", str(queue)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stderr.readline() if server.stderr else ""
            yield server, int(line.rpartition("/")[0].rpartition(":")[2])
        finally:
            server.kill()


async def _response(reader: asyncio.StreamReader) -> tuple[int, int | None, bytes]:
    """Read one response; return its status, how much of the body is JSON where not all is, and the body."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(fields["content-length"]))
    header = fields.get(HEADER.lower())
    return int(status.split()[1]), None if header is None else int(header), body


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """Return what has come that nobody has read."""
    try:
        return await asyncio.wait_for(reader.read(), 0.1)
    except (OSError, TimeoutError):
        return b""


def _resident(process: int) -> int:
    """Return the bytes that a process has in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) << 10


if __name__ == "__main__":
    sys.exit(main())
