"""Samples by their numbers or by chance, and data in two parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graphopt.calibration import images
from graphopt.calibration.drawn import draw, select
from graphopt.calibration.preprocessing import parse_preprocessing
from graphopt.calibration.source import open_samples
from graphopt.calibration.split import split
from graphopt.errors import CalibrationError
from graphopt.tensors import Array
from tests.networks import network

MODEL = "g (float[N,2] x) => (float[N,2] y) { y = Relu (x) }"
PICTURES = "g (float[N,3,4,4] x) => (float[N,3,4,4] y) { y = Relu (x) }"
ROWS = np.arange(100, dtype=np.float32).reshape(50, 2)


def test_samples_are_held_out() -> None:
    model = network(MODEL)
    samples = open_samples({"x": ROWS[:20]}, model)
    parts = split(samples, list(range(20)), 10)
    assert (parts.count, parts.held, parts.fitted.count, parts.held_out.count) == (10, 2, 8, 2)
    assert parts.fitted_labels is not None
    assert parts.labels is not None
    assert sorted([*parts.fitted_labels, *parts.labels]) == list(range(10))
    for part, numbers in ((parts.fitted, parts.fitted_labels), (parts.held_out, parts.labels)):
        rows = np.concatenate([batch["x"] for batch in part])
        assert (rows == ROWS[:20][numbers]).all()
    again = split(samples, list(range(20)), 10, seed=1)
    assert again.labels is not None
    assert again.labels.tolist() != parts.labels.tolist()
    single = split(samples, limit=1)
    assert single.fitted.count == single.held_out.count == 1
    spread = split(open_samples(_Countless(ROWS[:7]), model))
    assert (spread.count, spread.held, sum(len(batch.names) for batch in spread.held_out)) == (7, 1, 1)


def test_samples_are_drawn() -> None:
    samples = open_samples({"x": ROWS[:50]}, network(MODEL))
    assert draw(samples, 50) is samples
    few = np.concatenate([batch["x"] for batch in draw(samples.part(10, 50), 6)])
    numbers = [int(np.flatnonzero((ROWS[:50] == row).all(axis=1))[0]) for row in few]
    assert len(numbers) == 6
    assert numbers == sorted(numbers)
    assert min(numbers) >= 10
    assert max(numbers) > 20
    uncounted = open_samples(_Countless(ROWS[:50]), network(MODEL))
    assert (np.concatenate([batch["x"] for batch in draw(uncounted.part(10, 50), 6)]) == few).all()


class _Countless:
    """Samples that can be gone through again and again, and do not say how many they are."""

    def __init__(self, arrays: Array) -> None:
        self._arrays = arrays

    def __iter__(self):
        yield from self._arrays


def test_what_is_drawn_from_a_file_is_of_all_its_parts(tmp_path: Path) -> None:
    """A file that is sorted by class: each of the ten is there."""
    np.savez_compressed(tmp_path / "sorted.npz", x=np.repeat(np.arange(10, dtype=np.float32), 2000).reshape(-1, 2))
    samples = open_samples(tmp_path / "sorted.npz", network(MODEL))
    found = np.concatenate([batch["x"] for batch in draw(samples, 200)])
    assert found.shape == (200, 2)
    assert set(found[:, 0]) == set(range(10))
    first, more = ({name for batch in draw(samples, limit) for name in batch.names} for limit in (20, 200))
    assert first < more


def test_pictures_that_are_not_drawn_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(20):
        Image.fromarray(np.full((4, 4, 3), index, np.uint8)).save(tmp_path / f"{index:02}.png")
    samples = open_samples(tmp_path, network(PICTURES), parse_preprocessing("preprocess"))
    decoded = []
    monkeypatch.setattr(images, "_read", lambda path: decoded.append(path.stem) or np.zeros((4, 4, 3), np.uint8))
    assert sum(len(batch.names) for batch in select(samples.part(5, None), [9, 2])) == 2
    assert decoded == ["07", "14"]
    assert draw(draw(samples, 8), 3).count == 3


def test_feeds_of_several_rows_are_drawn_whole() -> None:
    samples = open_samples(_Countless(ROWS.reshape(10, 5, 2)), network(MODEL))
    assert np.concatenate([batch["x"] for batch in draw(samples, 4)]).shape == (20, 2)


def test_an_iterator_cannot_be_drawn_from() -> None:
    samples = open_samples(iter(ROWS), network(MODEL))
    with pytest.raises(CalibrationError, match="come from an iterator that is spent"):
        list(draw(samples, 4))
