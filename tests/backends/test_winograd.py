"""Winograd's convolution: its matrices are exact, its kernels right in each order, and it is chosen where it pays."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import tvm
from hypothesis import given
from hypothesis import strategies as st
from tvm import te

import graphopt
from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.lower.algorithm import choose_winograd, winograd_of
from graphopt.backends.tvm.lower.layout import Layout, pack_array
from graphopt.backends.tvm.lower.toom_cook import transforms
from graphopt.backends.tvm.lower.window import Window
from graphopt.backends.tvm.lower.winograd import pack_weights, te_winograd_conv, transform_weights
from graphopt.backends.tvm.lower.winograd_cost import Winograd
from graphopt.backends.tvm.schedule.module import schedule_kernel
from graphopt.backends.tvm.schedule.winograd import Sizes, tiles_of_a_task
from graphopt.ir.constants import constant
from graphopt.ir.text.parser import parse_model
from graphopt.targets import Target, parse_target
from graphopt.tensors import Array

ONE_CORE = parse_target("cpu{cores=1}")
LANES = ONE_CORE.lanes()
SHAPES = [  # batch, input and output channels, height, width, pads
    (1, LANES, LANES, 4, 4, (1, 1, 1, 1)),
    (1, 2 * LANES, LANES, 13, 9, (1, 1, 1, 1)),
    (3, LANES, 3 * LANES, 7, 7, (1, 1, 1, 1)),
    (2, 2 * LANES, 2 * LANES, 28, 30, (0, 2, 1, 0)),
    (1, LANES + 3, LANES + 5, 19, 8, (0, 0, 0, 0)),
    (1, LANES, LANES, 60, 47, (1, 1, 1, 1)),
]
LARGEST_ERROR = {2: 2e-6, 4: 2e-5, 6: 1e-4}
"""Of the largest output, for m: a few roundings, amplified by the transforms."""
TAPS_3X3 = Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))


@given(st.data())
@pytest.mark.parametrize("outputs", LARGEST_ERROR)
def test_the_matrices_are_exact(outputs: int, data: st.DataObject) -> None:
    made = transforms(outputs, 3)
    numbers = st.integers(-9, 9).map(Fraction)
    inputs = data.draw(st.lists(numbers, min_size=made.products, max_size=made.products))
    taps = data.draw(st.lists(numbers, min_size=3, max_size=3))
    products = [dot(row, taps) * dot(column, inputs) for row, column in zip(made.weights, made.input, strict=True)]
    expected = [dot(taps, inputs[place : place + 3]) for place in range(outputs)]
    assert [dot(row, products) for row in made.output] == expected


@pytest.mark.parametrize("order", ["by kernels", "by tiles", "by channels", "by channels on cores"])
@pytest.mark.parametrize("outputs", LARGEST_ERROR)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernels_convolve(shape: tuple[int, int, int, int, int, tuple[int, ...]], outputs: int, order: str) -> None:
    batch, inputs, channels, height, width, pads = shape
    random = np.random.default_rng(0)
    data = random.standard_normal((batch, inputs, height, width)).astype(np.float32)
    weights = random.standard_normal((channels, inputs, 3, 3)).astype(np.float32)
    expected = reference(data, weights, pads)
    window = Window((3, 3), (1, 1), (1, 1), pads[:2], pads[2:])
    tile_bytes = (outputs + 2) ** 2 * -(-inputs // LANES) * LANES * 4
    cores = 2 if order == "by channels on cores" else 1
    target = dataclasses.replace(ONE_CORE, cores=cores, l2_bytes=20 * tile_bytes if order == "by tiles" else 0)
    packed = pack_weights(weights, LANES) if "channels" in order else transform_weights(weights, outputs, LANES)
    actual = convolve(data, packed, window, outputs, expected.shape, target)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=LARGEST_ERROR[outputs] * np.abs(expected).max())


def test_few_tiles_or_many_weights_go_by_kernels() -> None:
    target = dataclasses.replace(ONE_CORE, l2_bytes=1 << 20)
    light, heavy = (
        Sizes(36 * count * count, 36 * count * 4, 72 * count * 4, 36 * count * count * 4) for count in (64, 384)
    )
    assert tiles_of_a_task([14, 14], 1, light, target) == (2, 14)
    assert tiles_of_a_task([14, 14], 1, light, dataclasses.replace(target, cores=2)) == (1, 14), "seven tasks are odd"
    assert tiles_of_a_task([2, 2], 1, light, target) is None
    assert tiles_of_a_task([14, 14], 1, heavy, target) is None


def test_it_is_chosen_for_its_count_of_cycles() -> None:
    assert choose_winograd(TAPS_3X3, (64, 64), (1, 64, 56, 56), ONE_CORE) == Winograd(4, late=False)
    assert choose_winograd(TAPS_3X3, (512, 512), (1, 512, 1, 1), ONE_CORE) is None
    assert choose_winograd(TAPS_3X3, (64, 64), (1, 64, 56, 56), parse_target("cpu{winograd=false}")) is None
    two_cores = dataclasses.replace(ONE_CORE, cores=2)  # which share the way to the memory
    assert choose_winograd(TAPS_3X3, (512, 512), (1, 512, 7, 7), two_cores).outputs == 2
    assert choose_winograd(TAPS_3X3, (512, 512), (1, 512, 14, 14), two_cores) == Winograd(4, late=True)
    for changed in ({"strides": (2, 2)}, {"dilations": (2, 2)}, {"kernel": (3, 1)}, {"kernel": (5, 5)}):
        assert choose_winograd(dataclasses.replace(TAPS_3X3, **changed), (64, 64), (1, 64, 56, 56), ONE_CORE) is None


def test_what_follows_shares_the_kernel() -> None:
    model = parse_model("""
    g (float[1,32,20,20] x) => (float[1,32,20,20] y)
    <float[32,32,3,3] w, float[32] b>
    { c = Conv <pads = [1,1,1,1]> (x, w, b)  s = Sigmoid (c)  m = Mul (c, s)  y = Add (m, x) }
    """)
    x = np.random.default_rng(0).standard_normal((1, 32, 20, 20)).astype(np.float32)
    expected = graphopt.compile(model, "onnxruntime", pipeline="O0", cache=False)(x)["y"]
    actual = graphopt.compile(model, cache=False)(x)["y"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("channels", "takes"), [(LANES // 2, True), (LANES // 2 - 1, False)])
def test_channels_that_fill_half_a_vector_are_enough(channels: int, *, takes: bool) -> None:
    model = graphopt.optimize(
        parse_model(f"""
    g (float[1,{channels},32,32] x) => (float[1,{channels},32,32] y)
    <float[{channels},{channels},3,3] w>
    {{ y = Conv <pads = [1,1,1,1]> (x, w) }}
    """),
        "infer-shapes",
    ).model
    (node,) = model.graph
    weights = constant(node.inputs[1])
    assert weights is not None
    assert (winograd_of(node, weights, ONE_CORE) is not None) is takes
    x = np.random.default_rng(0).standard_normal((1, channels, 32, 32)).astype(np.float32)
    expected = reference(x, weights, (1, 1, 1, 1))
    actual = graphopt.compile(model, ONE_CORE, cache=False)(x)["y"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def dot(left: object, right: object) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))  # type: ignore[call-overload]


def reference(data: Array, weights: Array, pads: tuple[int, ...]) -> Array:
    """Return the convolution in double precision."""
    top, left, bottom, right = pads
    padded = np.pad(data.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("nchwrs,ocrs->nohw", windows, weights.astype(np.float64), optimize=True)


def convolve(data: Array, packed: Array, window: Window, outputs: int, shape: tuple[int, ...], target: Target) -> Array:
    """Run the kernels, scheduled for a target."""
    source = pack_array(data, Layout(LANES))
    operands = [te.placeholder(array.shape, name=name) for array, name in ((source, "source"), (packed, "packed"))]
    result = te_winograd_conv(*operands, window, outputs, shape)
    function = schedule_kernel(te.create_prim_func([*operands, result]), target)
    library = tvm.compile(function, target=tvm_target(target))
    output = tvm.runtime.tensor(np.empty([int(extent) for extent in result.shape], np.float32))
    library(tvm.runtime.tensor(source), tvm.runtime.tensor(packed), output)
    batch, blocks, *extents, lanes = output.shape
    unpacked = np.moveaxis(output.numpy(), -1, 2).reshape(batch, blocks * lanes, *extents)
    return unpacked[:, : shape[1]]
