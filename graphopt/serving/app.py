"""The Open Inference Protocol over HTTP, as an ASGI application.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

    GET  /v2                                        the server
    GET  /v2/health/live, /v2/health/ready          whether it lives, and takes requests: 503 from its end on
    GET  /v2/models/{name}[/versions/{version}]     the inputs and outputs of a model
    GET  /v2/models/{name}[/versions/…]/ready
    POST /v2/models/{name}[/versions/…]/infer
    GET  /metrics                                   for Prometheus

Errors are {"error": "one sentence"}: 400 what the client has to change, 404 no such model, 408 and 413 a body that
takes too long or is too large, 503 with Retry-After too many requests, or the end of the server.
"""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib import metadata
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graphopt.serving.infer import infer
from graphopt.serving.metrics import CONTENT_TYPE
from graphopt.serving.refusal import RETRY_AFTER, RefusedError
from graphopt.serving.repository import ModelRepository

_HEADERS = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"retry-after": str(RETRY_AFTER)},
    HTTPStatus.REQUEST_TIMEOUT: {"connection": "close"},  # what still comes would be read for nobody
}


def build_app(repository: ModelRepository) -> Starlette:
    """Put the protocol before models, which whoever calls this starts and stops."""
    routes = [
        Route("/v2", _describe_server),
        Route("/v2/health/live", _tell_live),
        Route("/v2/health/ready", _tell_ready),
        Route("/metrics", _tell_metrics),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(path, _describe_model),
            Route(f"{path}/ready", _tell_model_ready),
            Route(f"{path}/infer", infer, methods=["POST"]),
        ]
    handlers: dict[Any, Any] = {RefusedError: _refuse, HTTPException: _refuse_path, Exception: _fail}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.repository = repository
    return app


async def _describe_server(_: Request) -> Response:
    return _json({"name": "graphopt", "version": _version(), "extensions": ["binary_tensor_data"]})


async def _tell_live(_: Request) -> Response:
    return _json({"live": True})


async def _tell_ready(request: Request) -> Response:
    ready = _repository(request).is_ready
    return _json({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)


async def _tell_metrics(request: Request) -> Response:
    return Response(_repository(request).metrics.text(), media_type=CONTENT_TYPE)


async def _describe_model(request: Request) -> Response:
    return _json(_repository(request).find(**request.path_params).metadata())


async def _tell_model_ready(request: Request) -> Response:
    model, ready = _repository(request).find(**request.path_params), _repository(request).is_ready
    return _json({"name": model.name, "ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)


async def _refuse(_: Request, refusal: RefusedError) -> Response:
    return _json({"error": refusal.sentence}, refusal.status, _HEADERS.get(refusal.status))


async def _refuse_path(request: Request, error: HTTPException) -> Response:
    sentence = f"{request.method} {request.url.path}: {error.detail}"
    return _json({"error": sentence}, HTTPStatus(error.status_code), dict(error.headers or {}))


async def _fail(_: Request, __: Exception) -> Response:
    return _json({"error": "the server failed; its log says why"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _json(data: object, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(data), status, headers, "application/json")


@cache
def _version() -> str:
    """Return the version that is installed; the package itself is no import for a room below the compiler."""
    try:
        return metadata.version("graphopt")
    except metadata.PackageNotFoundError:  # a checkout on the path
        return "unknown"


def _repository(request: Request) -> ModelRepository:
    repository: ModelRepository = request.app.state.repository
    return repository
