"""Programs on more than one machine: a Ray Serve deployment, each of whose replicas is the server of one machine.

    ray start --head                        # on one machine, and `ray start --address …` on the others
    serve run graphopt.serving.ray_deployment:build digits=/models/digits.gopt replicas=4

or in Python `serve.run(deployment({"digits": "/models/digits.gopt"}, replicas=4))`. A proxy hands each request to a
replica, which answers as `graphopt serve` does: the same protocol, batches, queues and refusals. Each machine reads the
programs from its own disk, under the same paths; relative ones are of the `working_dir` that Ray sends along. It is
the native code of one kind of processor, and a machine of another kind says so and gets no replica that works.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from ray import serve

from graphopt.errors import ServingError
from graphopt.runtime import feeds as feeding
from graphopt.runtime.forms import open_program
from graphopt.runtime.manifest import Manifest
from graphopt.serving.app import build_app
from graphopt.serving.limits import Limits
from graphopt.serving.repository import ModelRepository, load_programs
from graphopt.tensors import Array

_REPLICAS = "replicas"


def deployment(
    programs: Mapping[str, str | PathLike[str]],
    *,
    replicas: int = 1,
    limits: Limits = Limits(),  # noqa: B008  # it is frozen
    trusted_key: str | PathLike[str] | None = None,
    **options: Any,
) -> serve.Application:
    """Return an application that serves programs by name.

    A replica reserves as many cores as its programs were compiled for. What waits in Ray, before a replica has taken
    it, is bounded by `limits.queue` too, and refused with 503 beyond.

    Args:
        programs: paths that every machine reads, this one too.
        replicas: how many; Ray chooses the machines.
        limits: of each replica.
        trusted_key: the public key in a file; programs that it did not sign are not run.
        options: of the deployment, in the place of ours (`ray.serve.Deployment.options`): `autoscaling_config` in that
            of `num_replicas`, `max_replicas_per_node`, `ray_actor_options` …

    Raises:
        ModelError: a program cannot be read here.

    """
    cores = max(Manifest.read(open_program(Path(path))).threads for path in programs.values())
    ours = {
        "num_replicas": replicas,
        "max_ongoing_requests": limits.queue + limits.batch * limits.workers,
        "max_queued_requests": limits.queue,
        "graceful_shutdown_timeout_s": limits.grace,
        "ray_actor_options": {"num_cpus": cores},
    }
    if "autoscaling_config" in options:
        del ours["num_replicas"]
    paths = {name: str(path) for name, path in programs.items()}
    key = None if trusted_key is None else str(trusted_key)
    replica: Any = ProgramServer  # which Ray's decorator made a deployment of
    application: serve.Application = replica.options(**ours | options).bind(paths, limits, key)
    return application


def build(arguments: Mapping[str, str]) -> serve.Application:
    """Return what `serve run` asks for: `replicas` is their number, every other argument a program by its name.

    Raises:
        ServingError: there is no program, or no number of replicas.
        ModelError: a program cannot be read here.

    """
    programs = {name: path for name, path in arguments.items() if name != _REPLICAS}
    replicas = str(arguments.get(_REPLICAS, "1"))
    if not programs or not replicas.isdigit():
        raise ServingError("write NAME=PROGRAM for each program, and replicas=NUMBER")
    return deployment(programs, replicas=int(replicas))


@serve.deployment(name="graphopt")
@serve.ingress()
class ProgramServer:
    """A replica: programs behind their queues, in a process of its own."""

    def __init__(self, paths: Mapping[str, str], limits: Limits, trusted_key: str | None) -> None:
        """Load programs and run each for the first time; raises as `graphopt.load`."""
        key = None if trusted_key is None else Path(trusted_key)
        programs = load_programs({name: Path(path) for name, path in paths.items()}, key)
        self._running = contextlib.ExitStack()
        self._repository = self._running.enter_context(ModelRepository(programs, limits))

    def __serve_build_asgi_app__(self) -> Any:  # Ray's name
        """Return what answers HTTP."""
        return build_app(self._repository)

    def check_health(self) -> None:
        """Tell Ray whether to keep this replica: it asks every few seconds."""
        if not self._repository.is_ready:
            raise ServingError("the replica takes no requests")

    async def infer(self, model: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run a model for another deployment, which has a handle of this one; arrays by name, in and out.

        Raises:
            RunError: the arrays do not fit the model.
            RefusedError: there is no such model, or its queue is full.

        """
        served = self._repository.find(model)
        with served.batcher.place() as place:
            checked = feeding.check(served.program.inputs, feeds)
            feeding.check_shapes(served.program.inputs, checked)
            future = place.take(checked)
        return await asyncio.wrap_future(future)

    def __del__(self) -> None:
        """Answer what was taken, when Ray takes the replica away."""
        self._running.close()
