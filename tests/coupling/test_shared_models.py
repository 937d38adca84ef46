"""Trained networks, optimized and as they are, lose a share of every group and answer as if it were masked."""

from __future__ import annotations

import pytest

from graphopt.backends.ort.reference import random_feeds
from graphopt.compiler.optimize import optimize
from graphopt.ir.load import load
from tests.coupling.agreement import check_agreement, elements
from tests.shared_models import SHARED, SHARED_MODELS, SharedModel

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no trained networks in {SHARED}; set GRAPHOPT_SHARED")

SHAPES = {"ppocr_v4_det": {"x": (1, 3, 64, 64)}}
PROBABILITIES = {"ppocr_v4_det"}
"""Whose answers are between 0 and 1, so that this is their scale: these of noise are tiny, and rounded to it."""


@pytest.mark.parametrize("model", SHARED_MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("optimized", [True, False], ids=["optimized", "as it is"])
def test_a_share_of_every_group_can_leave(model: SharedModel, optimized: bool) -> None:
    network = optimize(model.path, "O1")[0] if optimized else load(model.path)
    feeds = random_feeds(network, shapes=SHAPES.get(model.name))
    scale = 1.0 if model.name in PROBABILITIES else 0.0
    smaller, coupling = check_agreement(network, feeds, scale=scale)
    assert coupling.groups
    assert elements(smaller) < (0.75 if optimized else 0.95) * elements(network)
