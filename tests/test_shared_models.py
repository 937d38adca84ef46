"""Every trained network of the shared folder compiles and agrees with onnxruntime, optimizations off."""

from __future__ import annotations

import pytest

from tests.shared_models import SHARED, SHARED_MODELS, TOLERANCE, SharedModel, compare

IMAGES = 8
SLOW_IMAGES = {"ppocr_v4_det": 2}

pytestmark = pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason=f"no shared models in {SHARED}; set GRAPHOPT_SHARED to where they are"
)


@pytest.mark.parametrize("model", SHARED_MODELS, ids=lambda model: model.name)
def test_compiles_and_agrees_with_onnxruntime(model: SharedModel) -> None:
    module = model.compile()
    agreement = compare(model, module, limit=SLOW_IMAGES.get(model.name, IMAGES))
    assert agreement.images > 0
    assert agreement.error <= TOLERANCE
    assert agreement.relabelled == 0
    assert agreement.correct >= 0.7 * agreement.labelled
    assert not [one for one in module.report.placements if one.executor != "tvm"]


def test_the_table_names_every_model_there_is() -> None:
    assert {path.stem for path in (SHARED / "models").glob("*.onnx")} == {model.name for model in SHARED_MODELS}
