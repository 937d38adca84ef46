"""Whatever the network, it is equal to itself in disguise; and one change is found, it alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import onnx
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import graphopt
from graphopt.inspect.diff.record import Diff
from tests.disguise import disguised, reads
from tests.properties.random_graphs import RandomModel, quick_random_graphs

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_GRAPHS", "30"))
random_networks = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2**32 - 1)


def kinds(found: Diff) -> dict[str, int]:
    return {kind: count for kind, count in found.counts().items() if count}


def changed(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def needed(model: onnx.ModelProto) -> set[str]:
    """Return the names that the outputs of a model hang on, in its main graph."""
    names = {output.name for output in model.graph.output}
    for node in reversed(model.graph.node):
        if names.intersection(node.output):
            names |= set(reads(node))
    return names


def all_reads(model: onnx.ModelProto) -> Iterator[str]:
    for node in model.graph.node:
        yield from reads(node)


@random_networks
@given(quick_random_graphs(), seeds)
def test_other_names_and_another_order_are_no_difference(model: RandomModel, seed: int) -> None:
    found = graphopt.diff(model.proto, disguised(model.proto, seed))
    assert not found, kinds(found)
    assert found.notes  # of inputs and outputs, which have other names


@random_networks
@given(quick_random_graphs(), seeds)
def test_one_changed_weight_is_the_only_difference(model: RandomModel, seed: int) -> None:
    rng, copy = np.random.default_rng(seed), changed(model.proto)
    read = set(all_reads(copy))
    weights = [one for one in copy.graph.initializer if one.name in read and np.size(numpy_helper.to_array(one)) > 8]
    floats = [one for one in weights if one.data_type == onnx.TensorProto.FLOAT]
    assume(floats)
    weight = floats[rng.integers(len(floats))]
    array = numpy_helper.to_array(weight).copy()
    array.flat[rng.integers(array.size)] += 0.5
    name = weight.name
    weight.CopyFrom(numpy_helper.from_array(array, name))
    found = graphopt.diff(model.proto, disguised(copy, seed))
    assert kinds(found) == {"reweighted": 1}
    (entry,) = found.reweighted
    assert (entry.constant, entry.changed) == (name, 1)
    np.testing.assert_allclose(entry.largest, 0.5, rtol=1e-3)


@random_networks
@given(quick_random_graphs(), seeds)
def test_an_added_and_a_removed_node_are_found_alone(model: RandomModel, seed: int) -> None:
    rng, copy = np.random.default_rng(seed), changed(model.proto)
    floats = [info.name for info in copy.graph.output if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    assume(floats)
    name = floats[rng.integers(len(floats))]
    maker = next(node for node in copy.graph.node if name in node.output)
    assume(name not in set(all_reads(copy)))
    maker.output[list(maker.output).index(name)] = "before the end"
    copy.graph.node.append(onnx.helper.make_node("Atanh", ["before the end"], [name]))
    other = disguised(copy, seed)
    added, removed = graphopt.diff(model.proto, other), graphopt.diff(other, model.proto)
    assert kinds(added) == {"added": 1}
    assert kinds(removed) == {"removed": 1}
    assert added.added[0].op == removed.removed[0].op == "Atanh"
