"""The pass over the data: what observers see is what the model computes, whatever the batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from graphopt.backends.ort.session import Session
from graphopt.calibration import probe
from graphopt.calibration.batch import Batch
from graphopt.calibration.collect import collect
from graphopt.calibration.histogram import Histogram
from graphopt.calibration.source import open_samples
from graphopt.calibration.statistics import Statistics
from graphopt.errors import CalibrationError, ModelError
from graphopt.ir.text.printer import format_model
from tests.networks import network

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((10, 3, 8, 8)).astype(np.float32)
INTEGERS = "g (float[N,4] x) => (float[N,4] y) { a = Mul (x, x)  b = Add (a, x)  y = Relu (b) }"
"""Exact on small integers, so that batches cannot change a bit."""
COUNTS = RNG.integers(-8, 8, (11, 4)).astype(np.float32)


def histogram(values: npt.ArrayLike) -> Histogram:
    made = Histogram()
    made.add(np.asarray(values))
    return made


def test_observers_see_what_the_model_computes() -> None:
    model = network(INTEGERS)
    found = collect(model, open_samples({"x": COUNTS}, model), ["x", "a", "b", "y"])
    b = COUNTS * COUNTS + COUNTS
    expected = {"x": COUNTS, "a": COUNTS * COUNTS, "b": b, "y": np.maximum(b, 0)}
    assert found.samples == 11
    assert found.histograms == {name: histogram(values) for name, values in expected.items()}
    for name, values in expected.items():
        assert found.extremes[name].minimum.tolist() == values.min(axis=0).tolist()
        assert found.extremes[name].maximum.tolist() == values.max(axis=0).tolist()


@pytest.mark.parametrize("width", [1, 2, 3, 11, 64])
def test_the_width_of_batches_changes_nothing(width: int) -> None:
    model = network(INTEGERS)
    found = collect(model, open_samples({"x": COUNTS}, model, width=width), ["x", "b"])
    assert found == collect(model, [{"x": COUNTS}], ["x", "b"])


@pytest.mark.parametrize("batch", [1, 4, 11, 16])
def test_a_fixed_batch_is_filled_and_the_filling_not_counted(batch: int) -> None:
    free, fixed = network(INTEGERS), network(INTEGERS.replace("N", str(batch)))
    found = collect(fixed, open_samples({"x": COUNTS}, fixed), ["x", "b", "y"])
    assert found == collect(free, [{"x": COUNTS}], ["x", "b", "y"])


def test_the_filling_is_not_counted_where_rows_of_a_sample_lie_below_each_other() -> None:
    text = "g (float[{},2,4] x) => (float[M,4] y) <int64[2] s = {{-1, 4}}> {{ r = Reshape (x, s)  y = Relu (r) }}"
    rows = RNG.integers(-8, 8, (5, 2, 4)).astype(np.float32)
    fixed = network(text.format(3))
    found = collect(fixed, open_samples({"x": rows}, fixed), ["y"])
    assert found.histograms["y"] == histogram(np.maximum(rows, 0))


def test_statistics_of_parts_merge_to_those_of_the_whole() -> None:
    model = network(INTEGERS)
    samples = open_samples({"x": COUNTS}, model, width=2)
    whole = collect(model, samples, ["a", "y"])
    parts = [collect(model, samples.part(start, stop), ["a", "y"]) for start, stop in ((0, 3), (3, 4), (4, None))]
    assert parts[2].merge(parts[0]).merge(parts[1]) == whole
    assert Statistics().merge(whole) == whole


def test_channels_whose_number_differs_are_one() -> None:
    model = network("g (float[N,C] x) => (float[N,C] y) { y = Neg (x) }")
    wide, narrow = np.array([[1.0, 5.0]], np.float32), np.array([[-3.0]], np.float32)
    found = collect(model, [{"x": wide}, {"x": narrow}, {"x": wide}], ["x"])
    assert found.extremes["x"].minimum.tolist() == [-3.0]
    assert found.extremes["x"].maximum.tolist() == [5.0]


def test_the_model_stays_as_it_is() -> None:
    model = network()
    before = format_model(model)
    collect(model, open_samples({"x": IMAGES}, model), ["c", "b"], ["c"])
    assert format_model(model) == before


def test_progress_is_told_after_each_batch() -> None:
    model = network(INTEGERS)
    done: list[int] = []
    collect(model, open_samples({"x": COUNTS}, model, width=4), ["y"], progress=done.append)
    assert done == [4, 8, 11]


def test_what_is_too_much_for_one_run_comes_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(INTEGERS)
    names = ["x", "a", "b", "y"]
    whole = collect(model, open_samples({"x": COUNTS}, model), names)
    made: list[Session] = []
    monkeypatch.setattr(probe, "_LARGEST_RUN", 2 * COUNTS.nbytes)
    load = probe.reference_session
    monkeypatch.setattr(probe, "reference_session", lambda *a, **k: made.append(load(*a, **k)) or made[-1])
    assert collect(model, open_samples({"x": COUNTS}, model), names) == whole
    assert [[spec.name for spec in session.outputs] for session in made] == [["a", "b"], ["y"]]


def test_inputs_alone_need_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Session, "run")
    model = network(INTEGERS)
    assert collect(model, [{"x": COUNTS}], ["x"]).histograms["x"] == histogram(COUNTS)


def test_a_value_that_overflows_is_named_with_the_sample() -> None:
    model = network("g (float[N,2] x) => (float[N,2] y) { a = Exp (x)  y = Relu (a) }")
    data = np.zeros((4, 2), np.float32)
    data[2] = 1000
    with pytest.raises(CalibrationError, match="value 'a' has a NaN or an infinity on sample 2;"):
        collect(model, open_samples({"x": data}, model, width=1), ["a"])
    with pytest.raises(CalibrationError, match="on sample 0 to sample 3;"):
        collect(model, open_samples({"x": data}, model), ["a"])


@pytest.mark.parametrize(
    ("values", "words"),
    [(["z"], "has no value 'z'"), (["n"], "value 'n' holds int64, no floating-point numbers")],
)
def test_values_that_cannot_be_observed_are_refused(values: list[str], words: str) -> None:
    model = network("g (float[N,2] x) => (float[N,2] y) { n = Shape (x)  y = Relu (x) }")
    with pytest.raises(ModelError, match=words):
        collect(model, [{"x": np.zeros((1, 2), np.float32)}], values)


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({"x": np.zeros((1, 3), np.float32)}, "the model does not run on sample 0: "),
        ({"x": np.zeros((2, 2), np.float64)}, "the model does not run on sample 0 to sample 1: "),
        ({"y": np.zeros((1, 2), np.float32)}, "sample 0 has nothing for the input 'x'; it has y"),
    ],
)
def test_feeds_that_do_not_fit_are_named(feeds: dict[str, npt.NDArray[np.generic]], words: str) -> None:
    model = network("g (float[N,2] x) => (float[N,2] y) { y = Relu (x) }")
    with pytest.raises(CalibrationError, match=words):
        collect(model, [feeds], ["y"])


def test_a_batch_is_feeds() -> None:
    batch = Batch({"x": COUNTS}, tuple("abcdefghijk"))
    assert (list(batch), len(batch)) == (["x"], 1)
    assert batch["x"] is COUNTS
