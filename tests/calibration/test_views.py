"""Few photographs are seen from other places too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.calibration.source import Samples, open_samples
from graphopt.calibration.views import ENOUGH, MOST, Views, with_views
from tests.networks import network


def samples(count: int, *, channels: int = 3, batch: str = "N", side: int = 16) -> Samples:
    model: ir.Model = network(
        f"g (float[{batch},{channels},{side},{side}] x) => (float[{batch},4,{side},{side}] y)"
        f"<float[4,{channels},1,1] w> {{ y = Conv (x, w) }}"
    )
    rng = np.random.default_rng(3)
    return open_samples({"x": rng.standard_normal((count, channels, side, side)).astype(np.float32)}, model)


def test_each_image_has_its_mirror_image_and_others_in_its_batch() -> None:
    plain = samples(10)
    views = with_views(plain)
    assert isinstance(views, Views)
    assert views.count == 10 * MOST
    (whole,), (batch,) = list(plain), list(views)
    images, seen = whole["x"], batch["x"].reshape(MOST, *whole["x"].shape)
    assert batch.names == whole.names * MOST
    assert (seen[0] == images).all()
    assert (seen[1] == images[..., ::-1]).all()
    for number, view in enumerate(seen[2:], start=2):
        turned = images[..., ::-1] if number % 2 else images
        assert any((view == _moved(turned, down, right)).all() for down in range(-2, 3) for right in range(-2, 3))
    assert all((first["x"] == second["x"]).all() for first, second in zip(views, views, strict=True))


def _moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    return padded[:, :, 2 + down : 18 + down, 2 + right : 18 + right]


@pytest.mark.parametrize(
    "plain",
    [samples(ENOUGH // 2 + 1, side=2), samples(8, channels=1), samples(8, batch="2"), samples(8, batch="1")],
    ids=["enough", "no photographs", "a fixed batch", "one at a time"],
)
def test_others_are_left_as_they_are(plain: Samples) -> None:
    assert with_views(plain) is plain


def test_samples_that_touch_each_other_stay_alone() -> None:
    model = network("g (float[N,3,4,4] x) => (float[N,3,4,4] y) { s = ReduceSum (x)\n y = Add (x, s) }")
    plain = open_samples({"x": np.ones((8, 3, 4, 4), np.float32)}, model)
    assert with_views(plain) is plain
