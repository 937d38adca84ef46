"""All topologies of models/ lose a share of every group, and answer as if it were masked."""

from __future__ import annotations

import pytest

from graphopt.backends.ort.reference import random_feeds
from graphopt.ir.load import load
from models import TOPOLOGIES
from tests.coupling.agreement import check_agreement, elements


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_a_share_of_every_group_can_leave(name: str) -> None:
    model = load(TOPOLOGIES[name]())
    smaller, coupling = check_agreement(model, random_feeds(model))
    assert coupling.groups
    assert elements(smaller) < 0.7 * elements(model)
