"""One inference request from its head to its answer."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from graphopt.errors import RunError
from graphopt.serving import answers, requests
from graphopt.serving.answers import Answer
from graphopt.serving.batcher import Results
from graphopt.serving.limits import Limits
from graphopt.serving.refusal import RefusedError, bad, busy
from graphopt.serving.repository import VERSION, ModelRepository, ServedModel

HEADER = "inference-header-content-length"
_GONE = 499
"""The status, nginx's, of a client that went away before its answer: nobody reads it, but it is counted."""


async def infer(request: Request) -> Response:
    """Answer `POST /v2/models/{name}/infer`, and count the request; raises RefusedError."""
    repository: ModelRepository = request.app.state.repository
    start = time.perf_counter()
    status, name = int(HTTPStatus.INTERNAL_SERVER_ERROR), ""
    try:
        model = repository.find(**request.path_params)
        name = model.name
        if not repository.is_ready:
            raise busy("the server is starting or stopping; ask another one")
        response = _response(await _answer(request, model, repository.limits))
        status = response.status_code
    except RefusedError as refusal:
        status = int(refusal.status)
        raise
    except ClientDisconnect:
        status = _GONE
        return Response(status_code=_GONE)
    except asyncio.CancelledError as error:  # the grace of a server that stops is over
        status = int(HTTPStatus.SERVICE_UNAVAILABLE)
        raise busy("the server stopped before the answer was there; ask another one") from error
    finally:
        repository.metrics.answered(name, status, time.perf_counter() - start)
    return response


async def _answer(request: Request, model: ServedModel, limits: Limits) -> Answer:
    program = model.program
    with model.batcher.place() as place:
        body = await _body(request, limits)
        inference = requests.read(body, request.headers.get(HEADER), program.inputs, program.outputs)
        future = place.take(inference.feeds)
    timeouts = [seconds for seconds in (inference.timeout, limits.timeout) if seconds is not None]
    try:
        results = await _await(future, request, min(timeouts, default=None))
    except RunError as error:
        raise bad(str(error)) from error
    return answers.write(inference, results, program.outputs, model=model.name, version=VERSION)


async def _body(request: Request, limits: Limits) -> bytearray:
    """Read a body, never more of it than is allowed."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken; send the body as it is")
    too_large = RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limits.body} bytes")
    if int(request.headers.get("content-length", 0)) > limits.body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.upload):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body:
                    raise too_large
    except TimeoutError as error:
        sentence = f"the body did not arrive within {limits.upload:g} seconds"
        raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, sentence) from error
    return body


async def _await(future: Future[Results], request: Request, timeout: float | None) -> Results:
    """Wait for results as long as the client does; given up, the request leaves the queue.

    Raises:
        RefusedError: there are none in time.
        ClientDisconnect: nobody waits for them any more.

    """
    answer = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(request.receive())  # after the body, this is that the client goes away
    try:
        await asyncio.wait((answer, gone), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if gone.done():
            raise ClientDisconnect
        raise busy(f"there was no answer within {timeout} seconds; try again later")
    finally:
        gone.cancel()
        answer.cancel()


def _response(answer: Answer) -> Response:
    if answer.header is None:
        return Response(answer.body, media_type="application/json")
    return Response(answer.body, headers={HEADER: str(answer.header)}, media_type="application/octet-stream")
