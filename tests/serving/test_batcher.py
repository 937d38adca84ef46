"""Requests put together: every answer belongs to its request, and what is too much is refused."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import Future
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.errors import RunError
from graphopt.serving.batcher import Batcher
from graphopt.serving.limits import Limits
from graphopt.serving.refusal import RefusedError
from tests.serving.programs import PATIENCE, Gated, Rows, question, serving, talk

INFER = "/v2/models/m/infer"


def put(batcher: Batcher, x: Any) -> Future[Any]:
    with batcher.place() as place:
        return place.take({"x": np.asarray(x, np.float32)})


def answers_belong(x: Any, answer: dict[str, Any]) -> bool:
    return np.array_equal(answer["y"], 2 * x) and np.array_equal(answer["total"], x.sum(1))


@settings(max_examples=40)
@given(
    shapes=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), min_size=1, max_size=30),
    batch=st.integers(1, 8),
    workers=st.integers(1, 3),
    delay=st.sampled_from([0.0, 0.001]),
)
def test_each_answer_belongs_to_its_request(
    shapes: list[tuple[int, int]], batch: int, workers: int, delay: float
) -> None:
    program = Rows("M")
    batcher = Batcher(program, Limits(batch=batch, delay=delay, queue=len(shapes), workers=workers))
    counter = iter(range(10_000))
    requests = [np.array([next(counter) for _ in range(n * m)], np.float32).reshape(n, m) for n, m in shapes]
    answers = [put(batcher, x) for x in requests]
    batcher.start()
    assert all(answers_belong(x, answer.result(PATIENCE)) for x, answer in zip(requests, answers, strict=True))
    assert batcher.stop(PATIENCE)
    assert sum(program.runs) == sum(len(x) for x in requests)
    largest = max(len(x) for x in requests)
    assert all(samples <= max(batch, largest) for samples in program.runs)
    assert batcher.is_idle


def test_what_waits_together_runs_together() -> None:
    program = Rows()
    batcher = Batcher(program, Limits(batch=4))
    answers = [put(batcher, np.full((1, 3), index)) for index in range(10)]
    batcher.start()
    for answer in answers:
        answer.result(PATIENCE)
    batcher.stop(PATIENCE)
    assert program.runs == [4, 4, 2]


def test_a_batch_waits_for_others_as_long_as_it_is_told_to() -> None:
    program = Rows()
    batcher = Batcher(program, Limits(batch=2, delay=PATIENCE))
    batcher.start()
    first = put(batcher, np.ones((1, 3)))
    second = put(batcher, np.zeros((1, 3)))
    assert first.result(PATIENCE / 2)["total"].tolist() == [3]
    assert second.result(PATIENCE / 2)["total"].tolist() == [0]
    batcher.stop(PATIENCE)
    assert program.runs == [2]


@pytest.mark.parametrize("batched", [(), ("other",)])
def test_where_samples_may_touch_each_other_requests_run_alone(batched: tuple[str, ...]) -> None:
    program = Rows()
    program.batched = batched
    batcher = Batcher(program, Limits(batch=4))
    answers = [put(batcher, np.full((1, 3), index)) for index in range(3)]
    batcher.start()
    assert [answer.result(PATIENCE)["total"].tolist() for answer in answers] == [[0], [3], [6]]
    batcher.stop(PATIENCE)
    assert program.runs == [1, 1, 1]


def test_a_request_that_fails_fails_for_nobody_else() -> None:
    batcher = Batcher(Rows(), Limits())
    requests = [np.full((1, 3), value) for value in (1.0, np.nan, 2.0)]
    answers = [put(batcher, x) for x in requests]
    batcher.start()
    assert answers_belong(requests[0], answers[0].result(PATIENCE))
    assert answers_belong(requests[2], answers[2].result(PATIENCE))
    with pytest.raises(RunError, match="not a number"):
        answers[1].result(PATIENCE)
    batcher.stop(PATIENCE)


def test_a_cancelled_request_leaves_the_queue_and_never_runs() -> None:
    program = Rows()
    batcher = Batcher(program, Limits(queue=2))
    kept, cancelled = put(batcher, np.ones((1, 3))), put(batcher, np.ones((2, 3)))
    with pytest.raises(RefusedError):
        put(batcher, np.ones((1, 3)))
    assert cancelled.cancel()
    assert batcher.waiting == 1
    put(batcher, np.ones((1, 3)))
    batcher.start()
    kept.result(PATIENCE)
    batcher.stop(PATIENCE)
    assert sum(program.runs) == 2


def test_a_place_that_is_not_used_is_given_back() -> None:
    batcher = Batcher(Rows(), Limits(queue=1))
    with batcher.place():
        assert batcher.waiting == 1
        with pytest.raises(RefusedError, match="waiting"), batcher.place():
            pass
    assert batcher.is_idle


def test_stopping_answers_what_waits_and_refuses_what_comes() -> None:
    program = Gated()
    batcher = Batcher(program, Limits(batch=1))
    batcher.start()
    program.close()
    answers = [put(batcher, np.full((1, 3), index)) for index in range(3)]
    stopping = threading.Thread(target=batcher.stop, args=(PATIENCE,))
    assert program.begun.acquire(timeout=PATIENCE)
    stopping.start()
    with pytest.raises(RefusedError, match="stopping"):
        while True:  # until the other thread has begun to stop it
            answers.append(put(batcher, np.ones((1, 3))))
    program.gate.set()
    stopping.join(PATIENCE)
    assert all(answer.done() and not answer.exception() for answer in answers)


def test_what_has_no_turn_before_the_end_of_patience_is_refused() -> None:
    program = Gated()
    batcher = Batcher(program, Limits(batch=1))
    batcher.start()
    program.close()
    running, waiting = put(batcher, np.ones((1, 3))), put(batcher, np.ones((1, 3)))
    assert program.begun.acquire(timeout=PATIENCE)
    assert not batcher.stop(0.01)
    with pytest.raises(RefusedError, match="stopped"):
        waiting.result(0)
    program.gate.set()
    running.result(PATIENCE)
    assert batcher.stop(PATIENCE)


def test_a_full_queue_sheds_and_answers_each_request_once() -> None:
    program = Gated()
    with serving(program, batch=1, queue=2) as repository:
        program.close()

        async def begin(client: httpx.AsyncClient) -> list[httpx.Response]:
            first = asyncio.ensure_future(client.post(INFER, json=question([[99, 99, 99]], id="99")))
            await asyncio.to_thread(program.begun.acquire, timeout=PATIENCE)
            return [*await crowd(client), await first]

        async def crowd(client: httpx.AsyncClient) -> list[httpx.Response]:
            asked = [client.post(INFER, json=question([[n, n, n]], id=str(n))) for n in range(20)]
            tasks = list(map(asyncio.ensure_future, asked))
            while sum(task.done() for task in tasks) < 18:  # two wait behind the one that runs
                await asyncio.sleep(0.001)
            program.gate.set()
            return list(await asyncio.gather(*tasks))

        answers = talk(repository, begin)
    assert Counter(answer.status_code for answer in answers) == {200: 3, 503: 18}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
            assert "waiting" in answer.json()["error"]
        else:
            said = answer.json()
            assert said["outputs"][1]["data"] == [3 * int(said["id"])]
    assert program.runs == [1, 1, 1]


@pytest.mark.parametrize("server", [True, False])
def test_a_request_without_an_answer_in_time_leaves_the_queue(server: bool) -> None:
    program = Gated()
    with serving(program, batch=1, timeout=0.02 if server else None) as repository:
        program.close()

        async def wait(client: httpx.AsyncClient) -> list[httpx.Response]:
            parameters = {} if server else {"timeout": 20_000}
            asked = [client.post(INFER, json=question([[n, n, n]], parameters=parameters)) for n in range(3)]
            return list(await asyncio.gather(*asked))

        answers = talk(repository, wait)
        assert [answer.status_code for answer in answers] == [503] * 3
        assert "no answer within 0.02 seconds" in answers[0].json()["error"]
        program.gate.set()
        assert repository.stop(PATIENCE)
    assert program.runs == [1]  # what ran could not be interrupted


def test_a_server_that_stops_is_not_ready() -> None:
    with serving(Rows()) as repository:
        repository.refuse()
        assert talk(repository, lambda client: client.get("/v2/health/ready")).status_code == 503
        assert talk(repository, lambda client: client.get("/v2/models/m/ready")).status_code == 503
        assert talk(repository, lambda client: client.get("/v2/health/live")).status_code == 200
        answer = talk(repository, lambda client: client.post(INFER, json=question([[1, 2, 3]])))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
