"""Whatever the network, samples that are proved apart are apart; and most of what is apart is proved so."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import HealthCheck, assume, given, settings

from graphopt.backends.ort.reference import random_feeds
from graphopt.backends.ort.session import Session
from graphopt.errors import ModelError
from graphopt.ir.batchwise.proof import judge
from graphopt.ir.batchwise.site import Kind
from graphopt.ir.load import load
from graphopt.ir.shapes import infer_shapes
from graphopt.numerics import DEFAULT_TOLERANCE, difference
from graphopt.pipeline.numeric_check import NOISE_FACTOR
from tests.properties.agreement import noisy
from tests.properties.random_graphs import RandomModel, quick_random_graphs, random_model

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_GRAPHS", "50"))
SAMPLE = 60
CUTS = (slice(0, 1), slice(1, 3), slice(3, 5))
BATCH = 5


def judged(proto: onnx.ModelProto) -> dict[str, Kind | str]:
    """Return what each value of a model is to the batch N, by name; nothing where it is not free."""
    model = load(proto)
    if not any("N" in str(value.shape) for value in model.graph.inputs):
        return {}
    for value in model.graph.outputs:
        value.shape = None
    infer_shapes(model)
    kinds = judge(model.graph, "N", model.opset_imports[""])
    return {value.name: kind for value, kind in kinds.items() if value.name}


def exposing(model: RandomModel, names: set[str]) -> RandomModel:
    """Return a model whose outputs are the named values, and which computes nothing else."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    needed, kept = set(names), []
    for node in reversed(model.proto.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= names_read(node)
    del proto.graph.node[:], proto.graph.output[:]
    proto.graph.node.extend(reversed(kept))
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names))
    return RandomModel(proto, model.shapes, model.exact)


def names_read(node: onnx.NodeProto) -> set[str]:
    graphs = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    inner = (name for graph in graphs for one in graph.node for name in names_read(one))
    return {*node.input, *inner, *(output.name for graph in graphs for output in graph.output)}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(quick_random_graphs())
def test_samples_of_random_graphs_that_are_proved_apart_are_apart(model: RandomModel) -> None:
    kinds = judged(model.proto)
    inputs = {value.name for value in model.proto.graph.input}
    proved = {name for name, kind in kinds.items() if kind in (Kind.SAMPLES, Kind.SAME) and name not in inputs}
    batched = {name for name in inputs if kinds.get(name) is Kind.SAMPLES}
    assume(any(kinds[name] is Kind.SAMPLES for name in proved))
    exposed = exposing(model, proved)
    try:
        session = Session(exposed.proto.SerializeToString(), threads=1, optimize=False)
    except ModelError:  # it lacks a kernel for some type
        assume(False)
    shapes = {name: (BATCH, *shape[1:]) if name in batched else shape for name, shape in model.shapes[0].items()}
    feeds = random_feeds(ir.from_proto(model.proto), seed=1, shapes=shapes)
    whole = session.run(feeds)
    cuts = ({name: array[cut] if name in batched else array for name, array in feeds.items()} for cut in CUTS)
    parts = [session.run(part) for part in cuts]
    noise = [Session(noisy(exposed, seed).SerializeToString(), threads=1, optimize=False) for seed in range(3)]
    for name, array in whole.items():
        pieces = [part[name] for part in parts]
        found = np.concatenate(pieces) if kinds[name] is Kind.SAMPLES else pieces[0]
        gap = difference(name, array, found).error
        if gap > DEFAULT_TOLERANCE:
            assert gap <= NOISE_FACTOR * max(difference(name, array, one.run(feeds)[name]).error for one in noise)


def test_most_values_are_proved_to_be_apart() -> None:
    rng = np.random.default_rng(0)
    models = [random_model(lambda options: int(rng.integers(options))) for _ in range(SAMPLE)]
    kinds = [kind for model in models for kind in judged(model.proto).values()]
    samples = sum(kind is Kind.SAMPLES for kind in kinds)
    mixed = sum(isinstance(kind, str) for kind in kinds)
    assert samples > 2 * mixed > 0
