"""Programs on the machines of a cluster: two of Ray's nodes in processes of this machine, a replica on each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import graphopt
from graphopt.errors import RunError, ServingError
from models.digits import MODEL, TEST

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
CLIENTS = 16


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ray") / "digits.gopt"
    graphopt.compile(MODEL, threads=1).save(path)
    return path


@pytest.fixture(scope="module")
def cluster(digits: Path) -> Iterator[tuple[Any, str]]:
    """Return a handle of the deployment and its address."""
    from ray import serve
    from ray.cluster_utils import Cluster

    from graphopt.serving.ray_deployment import deployment

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    try:
        ray.init(address=nodes.address, log_to_driver=False)
        serve.start(http_options={"port": port})
        handle = serve.run(deployment({"digits": digits}, replicas=2, max_replicas_per_node=1))
        yield handle, f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()
        nodes.shutdown()


def test_replicas_on_two_machines_answer_as_the_program_does(cluster: tuple[Any, str], digits: Path) -> None:
    from ray.util.state import list_actors

    images = np.load(TEST)["images"].astype(np.float32)
    expected = graphopt.load(digits).run({"image": images})["logits"]

    def classify(index: int) -> Any:
        tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": images[index].ravel().tolist()}
        said = httpx.post(f"{cluster[1]}/v2/models/digits/infer", json={"id": str(index), "inputs": [tensor]}).json()
        assert said["id"] == str(index)
        return said["outputs"][0]["data"]

    with ThreadPoolExecutor(CLIENTS) as clients:
        logits = list(clients.map(classify, range(len(images))))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    replicas = [actor for actor in list_actors() if "ServeReplica" in actor.class_name and actor.state == "ALIVE"]
    assert len({actor.node_id for actor in replicas}) == 2


def test_a_bad_request_is_told_what_is_bad(cluster: tuple[Any, str]) -> None:
    answer = httpx.post(f"{cluster[1]}/v2/models/digits/infer", json={})
    assert (answer.status_code, "inputs" in answer.json()["error"]) == (400, True)
    assert httpx.get(f"{cluster[1]}/v2/models/other").status_code == 404


def test_another_deployment_asks_by_a_handle(cluster: tuple[Any, str], digits: Path) -> None:
    images = np.load(TEST)["images"][:5].astype(np.float32)
    got = cluster[0].infer.remote("digits", {"image": images}).result()["logits"]
    np.testing.assert_allclose(got, graphopt.load(digits)(images)["logits"], rtol=1e-4, atol=1e-4)
    with pytest.raises(RunError, match="3 dimensions"):
        cluster[0].infer.remote("digits", {"image": images[0]}).result()
    with pytest.raises(Exception, match="there is no model 'other'"):
        cluster[0].infer.remote("other", {"image": images}).result()


def test_the_command_of_ray_names_programs_and_their_replicas(digits: Path) -> None:
    from graphopt.serving.ray_deployment import build

    assert build({"digits": str(digits), "replicas": "3"}) is not None
    for arguments in ({}, {"replicas": "3"}, {"digits": str(digits), "replicas": "many"}):
        with pytest.raises(ServingError, match="NAME=PROGRAM"):
            build(arguments)
