"""Bytes that lie next to each other are stored at once: which, and that they are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as build

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.microkernel.narrowing import allow_narrowing, narrow_together
from graphopt.targets import host

AVX512 = replace(host(), features=host().features | {"avx512bw"}, vector_bits=512)
LANES = 16
needs_instructions = pytest.mark.skipif("avx512bw" not in host().features, reason="this processor packs no vectors")


def kernel(places: list[int], *, low: int = 0, high: int = 255, reads: int = 0, named: bool = False) -> tirx.PrimFunc:
    """Return y[place …] = clamp(x[16 i …]), or of what lies `reads` behind in y and is brought to 32 bits."""
    with IRBuilder() as builder, build.prim_func(s_tir=True):
        x = build.arg("x", build.buffer((LANES * len(places),), "int32"))
        y = build.arg("y", build.buffer((512,), "uint8"))
        for index, place in enumerate(places):
            start = build.bind(tirx.const(place, "int32")) if named else tirx.const(place, "int32")
            value = tirx.BufferLoad(x, [tirx.Ramp(LANES * index, 1, LANES)])
            if reads:
                value = value + tirx.BufferLoad(y, [tirx.Ramp(start + reads - 1, 1, LANES)]).astype("int32x16")
            bounds = (tirx.Broadcast(tirx.const(bound, "int32"), LANES) for bound in (high, low))
            clamped = tirx.max(tirx.min(value, next(bounds)), next(bounds))
            build.buffer_store(y, clamped.astype("uint8x16"), [tirx.Ramp(start, 1, LANES)])
    return builder.get().with_attr("global_symbol", "main")


def widths(function: tirx.PrimFunc) -> list[int]:
    """Return how many bytes are stored at once, store by store."""
    text = narrow_together(allow_narrowing(function, AVX512)).script()
    stores = [line for line in text.splitlines() if line.strip().startswith("y[")]
    return [int(line.split("uint8x")[1].split('"')[0]) for line in stores]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0, 16, 32, 48], [64]),
        ([0, 16, 32, 48, 64, 80, 96], [64, 48]),
        ([0, 16, 200, 216], [32, 32]),
        ([0, 32], [16, 16]),
        ([16, 0], [16, 16]),
        ([0, 16, 32, 48, 64], [64, 16]),
    ],
)
def test_neighbours_are_stored_at_once(places: list[int], expected: list[int]) -> None:
    assert widths(kernel(places)) == expected
    assert widths(kernel(places, named=True)) == expected


def test_what_may_not_lie_within_a_byte_stays() -> None:
    assert widths(kernel([0, 16], low=-1)) == [16, 16]
    assert widths(kernel([0, 16], high=256)) == [16, 16]


def test_what_reads_where_others_store_stays() -> None:
    assert widths(kernel([0, 16], reads=1)) == [32]
    assert widths(kernel([0, 16], reads=2)) == [16, 16]


def test_other_targets_stay_as_they_are() -> None:
    function = kernel([0, 16])
    narrow = replace(AVX512, vector_bits=256)
    assert narrow_together(allow_narrowing(function, narrow)).script() == function.script()


@needs_instructions
@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize(("low", "high"), [(0, 255), (3, 200)])
def test_bytes_are_the_same(count: int, low: int, high: int) -> None:
    rng = np.random.default_rng(count)
    x = rng.choice([-(2**31), -40000, -1, 0, 1, 77, 128, 199, 254, 255, 256, 40000, 2**31 - 1], LANES * count)
    y = tvm.runtime.tensor(np.full(512, 9, np.uint8))
    function = allow_narrowing(kernel([LANES * index for index in range(count)], low=low, high=high), AVX512)
    generate({"main": function}, tvm_target(host()))["main"](tvm.runtime.tensor(x.astype(np.int32)), y)
    expected = np.full(512, 9, np.uint8)
    expected[: LANES * count] = np.clip(x, low, high)
    np.testing.assert_array_equal(y.numpy(), expected)
