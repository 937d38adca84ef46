"""All topologies of models/ lose a share of every group, and answer as if it were masked."""

from __future__ import annotations

import pytest

from graphopt.backends.ort.reference import random_feeds
from graphopt.coupling.couple import couple
from graphopt.ir.load import load
from models import TOPOLOGIES
from tests.coupling.agreement import check_agreement, elements

IMAGE = 64


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_share_of_every_group_can_leave(name: str) -> None:
    model = load(TOPOLOGIES[name](image=IMAGE, classes=10, seed=3))
    smaller, _ = check_agreement(model, random_feeds(model, seed=1), seed=1)
    assert elements(smaller) < 0.75 * elements(model)


@pytest.mark.parametrize("name", ["densenet121", "inception_v2", "mobilenet_v2", "resnet50", "unet"])
def test_only_the_output_keeps_its_channels(name: str) -> None:
    model = load(TOPOLOGIES[name](image=IMAGE))
    coupling = couple(model)
    free = {node for group in coupling.groups for node in group.producers}
    products = [node for node in model.graph if node.op_type in ("Conv", "ConvTranspose", "Gemm")]
    kept = [node for node in products if node not in free and node.attributes.get_int("group", 1) == 1]
    (output,) = model.graph.outputs
    assert kept == [output.producer()]


def test_channels_of_a_residual_stage_leave_together() -> None:
    coupling = couple(load(TOPOLOGIES["resnet18"](image=IMAGE)))
    first, *others = coupling.groups
    assert (first.name, len(first.channels), len(first.producers)) == ("stem/Conv_1", 64, 3)
    assert {len(group.producers) for group in others} == {1, 3}


def test_channels_that_are_shuffled_leave_in_powers_of_two() -> None:
    coupling = couple(load(TOPOLOGIES["shufflenet_v2"](image=IMAGE)))
    counts = {indices.size for group in coupling.groups for indices in group.channels[0].places.values()}
    assert counts >= {1, 2, 4, 8}
