"""Labels, and how often a classifier is right by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphopt.calibration.labels import read_labels
from graphopt.calibration.source import open_samples
from graphopt.errors import CalibrationError
from graphopt.inspect.accuracy import accuracy
from tests.networks import network


def test_labels_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array([3, 1], np.uint8))
    np.savez(tmp_path / "both.npz", labels=np.array([3, 1]), other=np.zeros(2))
    np.savez(tmp_path / "unclear.npz", one=np.array([3, 1]), other=np.zeros(2))
    for given in (tmp_path / "labels.npy", tmp_path / "both.npz", [3, 1], np.array([3, 1])):
        assert read_labels(given, 2).tolist() == [3, 1]
    for wrong, sentence in (
        (tmp_path / "unclear.npz", "name that of the labels 'labels'"),
        ([1, 2, 3], "the array has 3 labels for 2 samples"),
        ([0.5, 1.0], "holds no labels"),
        ([-1, 1], "holds no labels"),
        (tmp_path / "absent.npy", "cannot read"),
    ):
        with pytest.raises(CalibrationError, match=sentence):
            read_labels(wrong, 2)


def test_accuracy_needs_scores_of_the_classes() -> None:
    model = network("g (float[N,10] x) => (float[N,10] y) { y = Relu (x) }")
    samples = open_samples({"x": np.eye(10, dtype=np.float32)}, model)
    assert accuracy(model, samples, np.arange(10)) == 1.0
    assert accuracy(model, samples, (np.arange(10) + 1) % 10) == 0.0
    with pytest.raises(CalibrationError, match="no scores of 11 classes"):
        accuracy(model, samples, np.full(10, 10))
