"""`graphopt serve`: programs behind HTTP."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from graphopt.cli.console import say, show_json
from graphopt.cli.options import Json
from graphopt.cli.progress import progress
from graphopt.errors import ModelError, ServingError

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]PROGRAM…", help="What `graphopt compile` wrote; named by its file.", show_default=False
    ),
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is every network.")]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen; 0 takes a free port.")]
MaxBatch = Annotated[int, typer.Option(min=1, metavar="N", help="Samples that requests are put together to.")]
MaxDelay = Annotated[
    float,
    typer.Option(
        "--max-delay-ms",
        min=0.0,
        metavar="MS",
        help="How long the first request of a batch waits for others; 0 takes what came while another batch ran.",
    ),
]
Queue = Annotated[
    int, typer.Option(min=1, metavar="N", help="Requests of a model that may wait; more are answered 503.")
]
Workers = Annotated[
    int, typer.Option(min=1, metavar="N", help="Threads that run each model, which uses all its cores by itself.")
]
MaxBody = Annotated[float, typer.Option("--max-body-mb", min=0.001, metavar="MB", help="The largest request.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout-ms", min=1.0, metavar="MS", help="Give up requests that have no answer by then.", show_default=False
    ),
]
Grace = Annotated[
    float,
    typer.Option("--grace-seconds", min=0.0, metavar="S", help="How long what was taken is answered after SIGTERM."),
]
TrustedKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE.pem", help="Serve programs only if this public key signed them.", show_default=False),
]


def serve_programs(
    models: Models,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    max_batch: MaxBatch = 32,
    max_delay: MaxDelay = 0.0,
    queue: Queue = 256,
    workers: Workers = 1,
    max_body: MaxBody = 16.0,
    timeout: Timeout = None,
    grace: Grace = 30.0,
    trusted_key: TrustedKey = None,
    json: Json = False,
) -> None:
    """Serve programs over HTTP, by the Open Inference Protocol (version 2, as KServe and Triton speak it).

    Requests whose shapes agree beyond the batch run together where samples are proved not to touch each other.
    SIGTERM and Ctrl-C end it when all that was taken is answered; there is no encryption and no password.

    Examples:
      graphopt serve digits.gopt
      graphopt serve digits.gopt faces=retina.gopt --host 0.0.0.0 --port 8080 --max-batch 16 --queue 64
      curl localhost:8000/v2/models/digits

    """
    paths = _paths(models)
    try:
        from graphopt.serving.limits import Limits
        from graphopt.serving.repository import ModelRepository, load_programs
        from graphopt.serving.server import serve
    except ModuleNotFoundError as error:
        raise ServingError(f"serving needs the package {error.name}; run: pip install 'graphopt[serve]'") from error

    for path in filter(_is_model, paths.values()):
        raise ModelError(
            f"{str(path)!r} is a model, no program; compile it first: graphopt compile {shlex.quote(str(path))} -o "
            f"{shlex.quote(path.stem)}.gopt"
        )
    limits = Limits(
        batch=max_batch,
        delay=max_delay / 1e3,
        queue=queue,
        workers=workers,
        body=int(max_body * 1e6),
        timeout=None if timeout is None else timeout / 1e3,
        grace=grace,
    )
    with progress("loading"):
        repository = ModelRepository(load_programs(paths, trusted_key), limits)

    def ready(address: str) -> None:
        if json:
            show_json({"address": address, "models": {name: str(path) for name, path in paths.items()}})
        else:
            say(f"serving {', '.join(paths)} at {address}/v2")

    serve(repository, host, port, ready)
    say("stopped")


def _is_model(path: Path) -> bool:
    return path.suffix == ".onnx" and path.is_file()


def _paths(models: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for text in models:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).stem, text
        if name in paths:
            raise typer.BadParameter(f"two models are named {name!r}; name one of them, as in other={path}")
        paths[name] = Path(path)
    return paths
