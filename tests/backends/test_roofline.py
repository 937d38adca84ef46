"""The probes compute what they are said to compute; how fast they are is for no test to say."""

from __future__ import annotations

import numpy as np
import pytest

from graphopt.backends.tvm import roofline
from graphopt.backends.tvm.roofline import Probe, measure_roofline, multiply_adds, reads
from graphopt.backends.tvm.timing import TimingExecutor
from graphopt.hardware import last_cache_bytes
from graphopt.targets import parse_target
from graphopt.tensors import Array

TARGET = parse_target("cpu{cores=2}")


def result(probe: Probe) -> Array:
    ((sums,), (call,)) = TimingExecutor(probe.program, probe.threads).time(probe.inputs)
    assert call.kernel == "probe"
    assert call.bytes == sum(array.nbytes for array in (*probe.inputs, sums))
    assert sums.shape[0] == probe.threads
    return sums


def test_multiply_adds() -> None:
    probe = multiply_adds(TARGET, rounds=3, taps=5)
    sums = result(probe)
    np.testing.assert_allclose(sums, 15e-6, rtol=1e-5)
    assert probe.work == 2 * 15 * sums.size


def test_reads() -> None:
    probe = reads(TARGET, 1 << 16)
    assert probe.work == 1 << 16
    sums = result(probe)
    np.testing.assert_array_equal(sums, (1 << 14) // sums.size)


def test_a_roofline_is_made_of_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_SECONDS", 0.0)
    monkeypatch.setattr(roofline, "_ROUNDS", 1)
    monkeypatch.setattr(roofline, "_MOST_BYTES", 1 << 16)
    found = measure_roofline(TARGET)
    assert min(found.flops, found.bandwidth, found.launch) > 0


def test_the_last_cache_is_the_largest() -> None:
    assert last_cache_bytes() >= max(TARGET.l1_bytes, TARGET.l2_bytes)
