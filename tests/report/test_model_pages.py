"""The report of networks, driven in a real browser; `tests.benchmarks.report_page` drives those of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import TOPOLOGIES
from tests.report.conftest import Open
from tests.report.driving import drive
from tests.shared_models import SHARED, SHARED_MODELS

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.onnx"
TRAINED = {one.name: one.path for one in SHARED_MODELS}


def test_the_page_of_densenet(opened: Open, tmp_path: Path) -> None:
    page = drive(TOPOLOGIES["densenet121"](), opened, tmp_path / "report.html")
    assert page.get_by_test_id("details").is_visible()


def test_the_page_of_a_trained_network(opened: Open, tmp_path: Path) -> None:
    drive(DIGITS, opened, tmp_path / "report.html")


@pytest.mark.skipif(not SHARED.exists(), reason=f"trained networks lie in {SHARED}, which is absent")
@pytest.mark.parametrize("name", ["efficientnet_lite0", "ppocr_v4_det"])
def test_the_page_of_a_network_in_use(name: str, opened: Open, tmp_path: Path) -> None:
    drive(TRAINED[name], opened, tmp_path / "report.html")
