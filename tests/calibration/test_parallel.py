"""Parts of a data set on their own, merged, are the data set."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from graphopt.calibration.collect import collect
from graphopt.calibration.parallel import collect_in_parts
from graphopt.calibration.source import open_samples
from graphopt.errors import CalibrationError
from tests.networks import network

INTEGERS = "g (float[N,4] x) => (float[N,3] y) <float[4,3] w> { a = Mul (x, x)  b = Add (a, x)  y = MatMul (b, w) }"
COUNTS = np.random.default_rng(0).integers(-8, 8, (11, 4)).astype(np.float32)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", None])
@pytest.mark.parametrize("parts", [1, 3, 20])
def test_parts_together_find_what_one_pass_finds(scheduler: str | None, parts: int) -> None:
    if scheduler is None and parts != 3:
        pytest.skip("starting processes takes seconds; once is enough")
    model = network(INTEGERS)
    samples = open_samples({"x": COUNTS}, model)
    whole = collect(model, samples, ["x", "b"], ["y"])
    found = collect_in_parts(model, samples, ["x", "b"], ["y"], parts=parts, scheduler=scheduler)
    assert found.samples == whole.samples == 11
    assert found.histograms == whole.histograms
    assert found.extremes == whole.extremes
    assert found.grams["y"].count == whole.grams["y"].count
    assert np.array_equal(found.grams["y"].moment, whole.grams["y"].moment)
    assert np.array_equal(found.grams["y"].mean, whole.grams["y"].mean)


def test_a_bad_sample_is_named_all_the_same() -> None:
    data = COUNTS.copy()
    data[7, 0] = np.nan
    model = network(INTEGERS)
    with pytest.raises(CalibrationError, match="sample 7: input 'x' holds a NaN"):
        collect_in_parts(model, open_samples({"x": data}, model), ["x"], parts=3, scheduler="threads")


def test_what_cannot_be_dealt_out_is_refused() -> None:
    model = network(INTEGERS)
    with pytest.raises(CalibrationError, match="come from an iterator cannot be dealt out"):
        collect_in_parts(model, open_samples(({"x": row} for row in COUNTS), model), ["x"], parts=2)
    with pytest.raises(CalibrationError, match="there are no samples"):
        collect_in_parts(model, open_samples([], model), ["x"], parts=2, scheduler="threads")


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    model = network(INTEGERS)
    with pytest.raises(CalibrationError, match=r"pip install 'graphopt\[parallel\]'"):
        collect_in_parts(model, open_samples({"x": COUNTS}, model), ["x"], parts=2)
