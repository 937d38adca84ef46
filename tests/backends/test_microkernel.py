"""Kernels written instruction by instruction, against the sums and roundings that they stand for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.microkernel.depthwise import Depthwise
from graphopt.backends.tvm.microkernel.taps import choose_taps
from graphopt.ir.load import load
from graphopt.ir.shapes import infer_shapes
from graphopt.targets import host
from graphopt.tensors import Array
from tests.backends.test_integer_kernels import conv
from tests.qlinear import GraphBuilder, Quantized, Window, compiled, grid, qlinear_conv, random, sums_of_conv

PADDING, ZERO_POINT = 7, 3
WINDOWS = list(itertools.product([(1, 1), (2, 3), (3, 3), (5, 5)], [(1, 1), (2, 2), (3, 1)], [(1, 1), (2, 1)], [1, 4]))
needs_instructions = pytest.mark.skipif(
    "avx512_vnni" not in host().features, reason="this processor has no products of bytes in vectors of 512 bits"
)


@pytest.mark.parametrize(("kernel", "strides", "dilations", "rows"), WINDOWS)
def test_taps_are_used_once_in_every_row(
    kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int], rows: int
) -> None:
    taps = choose_taps(kernel, strides, dilations, rows)
    window = set(np.ndindex(kernel))
    for row, uses in enumerate(taps.uses):
        read = {tap: taps.groups[group][index] for group, places in uses for index, tap in enumerate(places) if tap}
        assert set(read) == window
        for (y, x), place in read.items():
            assert place == (row * strides[0] + y * dilations[0], x * dilations[1])


def test_two_rows_share_what_they_read_where_windows_move_by_one() -> None:
    assert choose_taps((3, 3), (1, 1), (1, 1), 2).rows == 2
    assert choose_taps((3, 3), (2, 2), (1, 1), 2).rows == 1
    assert choose_taps((3, 3), (1, 1), (1, 1), 1).rows == 1


def run(kernel: Depthwise, arrays: list[Array], result: Array) -> Array:
    function = kernel.function().with_attr("global_symbol", "main")
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(each)) for each in (*arrays, result)]
    generate({"main": function}, tvm_target(host()))["main"](*tensors)
    return np.asarray(tensors[-1].numpy())


@needs_instructions
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_depthwise_convolution_of_any_shape(data: st.DataObject) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides = data.draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (3, 1)]))
    dilations = data.draw(st.sampled_from([(1, 1), (2, 2), (1, 2)]))
    begins = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    images, blocks = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(4, 13))
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    inputs = [(count - 1) * stride + span for count, stride, span in zip((height, width), strides, reach, strict=True)]
    shape = [max(1, size - begin - data.draw(st.integers(0, 1))) for size, begin in zip(inputs, begins, strict=True)]
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = rng.integers(0, 256, (images, blocks, *shape, 16), dtype=np.uint8)
    w = rng.integers(-128, 128, (blocks, *kernel, 16), dtype=np.int8)
    bias = rng.integers(-5000, 5000, (blocks, 16), dtype=np.int32)
    ratio = rng.uniform(0.0005, 0.01, (blocks, 16)).astype(np.float32)
    chunk = data.draw(st.sampled_from([rows for rows in range(1, height + 1) if height % rows == 0]))
    taps = choose_taps(kernel, strides, dilations, chunk)
    outputs = images, blocks, height, width
    made = Depthwise(x.shape[:-1], outputs, strides, begins, PADDING, taps, chunk, ZERO_POINT)

    ends = [size - begin - extent for size, begin, extent in zip(inputs, begins, shape, strict=True)]
    around = [(0, 0), (0, 0), *((begin, max(0, end)) for begin, end in zip(begins, ends, strict=True)), (0, 0)]
    padded = np.pad(x, around, constant_values=PADDING).astype(np.int32)
    sums = np.broadcast_to(bias[None, :, None, None], (*outputs, 16)).copy()
    for row, column in np.ndindex(kernel):
        rows = slice(row * dilations[0], row * dilations[0] + (height - 1) * strides[0] + 1, strides[0])
        columns = slice(column * dilations[1], column * dilations[1] + (width - 1) * strides[1] + 1, strides[1])
        sums += padded[:, :, rows, columns] * w[None, :, row, column, None, None]
    whole = np.rint(sums.astype(np.float32) * ratio[None, :, None, None]) + ZERO_POINT
    actual = run(made, [x, taps.pack(w), bias, ratio], np.zeros((*outputs, 16), np.uint8))
    np.testing.assert_array_equal(actual, np.clip(whole, 0, 255).astype(np.uint8))


@needs_instructions
def test_kernels_of_one_program_have_steps_of_their_own() -> None:
    rng = np.random.default_rng(0)
    builder, x = GraphBuilder(), random([1, 32, 13, 17], "uint8", 3, rng=rng)
    value, expected = builder.input("x", x.numbers), x
    for index, (size, strides) in enumerate([(3, [1, 1]), (3, [2, 2]), (5, [1, 1])]):
        w = random([32, 1, size, size], "int8", 0, 0.005, channels=0, rng=rng)
        window = Window(group=32, strides=strides, pads=[size // 2] * 4)
        y = grid(sums_of_conv(expected, w, window) * expected.scale * w.scale.mean(), "uint8", index)
        operands = builder.dequantized(value, expected), builder.dequantized(w)
        value = builder.quantized(builder.node("Conv", *operands, **window.attributes()), y)
        expected = Quantized(qlinear_conv(expected, w, None, y, window), *y)
    builder.output(value, "uint8")
    actual = compiled(builder.model(), host(), {"x": x.numbers})[value]
    np.testing.assert_array_equal(actual, expected.numbers)


def lowered(shape: list[int], kernel: list[int], window: Window, bits: int) -> str:
    """Return the module of Q(Conv(DQ, DQ)) for vectors of so many bits."""
    rng = np.random.default_rng(0)
    x, w = random(shape, "uint8", 3, rng=rng), random(kernel, "int8", 0, 0.005, channels=0, rng=rng)
    y = grid(sums_of_conv(x, w, window) * x.scale * w.scale.mean(), "uint8", 1)
    model = load(conv(x, w, None, y, window).SerializeToString())
    infer_shapes(model)
    graph = model.graph
    features = host().features | {"avx512_vnni", "avx512f", "avx512bw"}
    target = replace(host(), features=features, vector_bits=bits)
    return str(lower(list(graph), graph.inputs, graph.outputs, target).script())


@pytest.mark.parametrize(
    ("shape", "kernel", "window", "bits", "takes"),
    [
        ([1, 32, 9, 13], [32, 1, 3, 3], Window(group=32, pads=[1, 1, 1, 1]), 512, True),
        ([1, 32, 9, 13], [32, 1, 3, 3], Window(group=32, pads=[1, 1, 1, 1]), 256, False),
        ([1, 32, 9, 3], [32, 1, 3, 3], Window(group=32, pads=[1, 1, 1, 1]), 512, False),
        ([1, 32, 9, 13], [32, 1, 3, 3], Window(group=32, strides=[3, 3]), 512, False),
        ([1, 32, 9], [32, 1, 3], Window(group=32), 512, False),
        ([1, 32, 13, 13], [32, 1, 9, 9], Window(group=32), 512, False),
    ],
    ids=["fits", "narrow vectors", "few columns", "wide strides", "one axis", "many taps"],
)
def test_where_it_is_taken(shape: list[int], kernel: list[int], window: Window, bits: int, *, takes: bool) -> None:
    assert ("graphopt_depthwise_step" in lowered(shape, kernel, window, bits)) is takes
