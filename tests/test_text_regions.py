from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rapidocr_onnxruntime", reason="regions of text are found by the extra `bench`")
from shapely import box

from tests.benchmarks.text_regions import absent, overlap, text_regions


def test_probable_pixels_make_a_region_and_specks_make_none() -> None:
    probability = np.zeros((80, 120), np.float32)
    probability[10:30, 10:90] = 0.9
    probability[50:52, 20:22] = 1.0  # a speck
    probability[60:75, 20:80] = 0.3  # not above
    (region,) = text_regions(probability)
    assert region.contains(box(10, 10, 89, 29))
    assert text_regions(np.zeros((40, 40), np.float32)) == []


def test_regions_are_the_same_where_they_share_half() -> None:
    whole, half, moved = box(0, 0, 10, 4), box(0, 0, 5, 4), box(6, 0, 16, 4)
    assert (overlap(whole, whole), overlap(whole, half)) == (1, 0.5)
    assert overlap(whole, moved) == pytest.approx(4 / 16)
    assert overlap(whole, box(0, 4, 10, 8)) == 0
    assert absent([whole, moved], [half]) == [moved]
    assert absent([whole], []) == [whole]
    assert absent([], [whole]) == []
