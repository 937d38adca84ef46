from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="regions of text are found by the extra `bench`")

from tests.benchmarks.text_regions import Box, absent, overlap, text_regions


def test_touching_pixels_make_a_region_and_specks_make_none() -> None:
    probability = np.zeros((20, 30))
    probability[2:6, 3:12] = 0.9
    probability[6:9, 12:15] = 0.31  # touches at a corner
    probability[12:14, 3:20] = 1.0  # two pixels high
    probability[15:18, 20:25] = 0.3  # not above
    probability[16:19, 1:4] = 0.5
    assert text_regions(probability) == [Box(2, 3, 9, 15), Box(16, 1, 19, 4)]
    assert text_regions(np.zeros((4, 4))) == []


def test_boxes_are_the_same_where_they_share_half() -> None:
    whole, half, moved = Box(0, 0, 4, 10), Box(0, 0, 4, 5), Box(0, 6, 4, 16)
    assert (overlap(whole, whole), overlap(whole, half)) == (1, 0.5)
    assert overlap(whole, moved) == pytest.approx(4 / 16)
    assert overlap(whole, Box(4, 0, 8, 10)) == 0
    assert absent([whole, moved], [half]) == [moved]
    assert absent([whole], []) == [whole]
    assert absent([], [whole]) == []
