"""Resize through TVM, against onnxruntime: every way to place outputs, in blocks of channels and elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.sampling import samplings_of
from tests.backends.test_tvm_operators import run_both, wrap

TRANSFORMATIONS = (
    "align_corners",
    "asymmetric",
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "tf_crop_and_resize",
    "tf_half_pixel_for_nn",
)
ROUNDINGS = "ceil", "floor", "round_prefer_ceil", "round_prefer_floor"
SCALES: dict[int, list[tuple[float, ...]]] = {
    1: [(2.0,), (0.7,)],
    2: [(2.0, 3.0), (0.5, 1.5), (0.3, 2.3), (1.0, 4.0)],
    3: [(2.0, 1.5, 0.5)],
}
"""By the number of axes."""


def resizes(ways: Sequence[str], sides: tuple[int, ...] = (6, 7)) -> tuple[str, str, str, str]:
    """Return the parts of a model that resizes the spatial axes of a convolution's result in each way by each scale."""
    rank = len(sides)
    region = numbers([0.0, 0.0, *[0.1] * rank, 1.0, 1.0, *[0.8] * rank])
    outputs, body = [], [f"r = Constant <value = float[{2 * rank + 4}] {{{region}}}> () c = Conv (x, w)"]
    for index, (way, scales) in enumerate(itertools.product(ways, SCALES[rank])):
        made = [int(np.floor(np.float32(scale) * np.float32(side))) for scale, side in zip(scales, sides, strict=True)]
        outputs.append(f"float[{numbers([2, 20, *made])}] y{index}")
        body.append(f"s{index} = Constant <value = float[{rank + 2}] {{{numbers([1.0, 1.0, *scales])}}}> ()")
        body.append(f"y{index} = Resize <{way}> (c, r, s{index})")
    ones = [1] * rank
    weights = f"float[{numbers([20, 3, *ones])}] w"
    return ", ".join(outputs), " ".join(body), f"float[{numbers([2, 3, *sides])}] x", weights


def numbers(values: Sequence[float]) -> str:
    return ", ".join(map(str, values))


def check(text: str) -> None:
    for actual, expected in zip(*run_both(text), strict=True):
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("sides", [(9,), (6, 7), (3, 4, 5)])
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_linear_agrees_with_onnxruntime(transformation: str, sides: tuple[int, ...]) -> None:
    check(wrap(*resizes([f'mode="linear", coordinate_transformation_mode="{transformation}"'], sides)))


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_nearest_agrees_with_onnxruntime(transformation: str) -> None:
    how = f'coordinate_transformation_mode="{transformation}"'
    check(wrap(*resizes([f'{how}, nearest_mode="{rounding}"' for rounding in ROUNDINGS])))


OTHERS = {
    "to sizes": (
        "float[1,3,17,5] y",
        's = Constant <value = int64[4] {1,3,17,5}> () y = Resize <mode="linear"> (x, , , s)',
        "float[1,3,7,9] x",
    ),
    "axes by name": (
        "float[1,3,14,9] y",
        "s = Constant <value = int64[1] {14}> () y = Resize <axes=[2]> (x, , , s)",
        "float[1,3,7,9] x",
    ),
    "as large as needed": (
        "float[1,3,16,20] y",
        """s = Constant <value = int64[2] {14, 20}> ()
        y = Resize <axes=[2,3], keep_aspect_ratio_policy="not_smaller", mode="linear"> (x, , , s)""",
        "float[1,3,7,9] x",
    ),
    "channels, too": (
        "float[2,6,7,9] y",
        's = Constant <value = float[4] {1,2,1,1}> () y = Resize <mode="linear"> (x, , s)',
        "float[2,3,7,9] x",
    ),
    "added to in the same kernel": (
        "float[1,20,12,14] y",
        """s = Constant <value = float[4] {1,1,2,2}> () c = Conv (x, w) m = Mul (c, v) p = Add (m, c)
        r = Resize <nearest_mode="floor", coordinate_transformation_mode="asymmetric"> (p, , s) y = Add (r, z)""",
        "float[1,3,6,7] x, float[1,20,12,14] z",
        "float[20,3,1,1] w, float[1,20,1,1] v",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_agrees_with_onnxruntime(name: str) -> None:
    check(wrap(*OTHERS[name]))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", ["2.0, 3.0", "0.6, 1.7"])
def test_upsample_and_the_first_resize_agree(mode: str, scales: str) -> None:
    sides = "12,21" if scales.startswith("2") else "3,11"
    body = f"""s = Constant <value = float[4] {{1.0, 1.0, {scales}}}> () y = Resize <mode="{mode}"> (x, s)"""
    text = wrap(f"float[1,3,{sides}] y", body, "float[1,3,6,7] x").replace('"" : 18', '"" : 10')
    check(text)
    if scales.startswith("2"):  # it makes nothing smaller
        check(text.replace('"" : 10', '"" : 9').replace("Resize", "Upsample"))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('mode="cubic"', "cubic"),
        ('mode="linear", antialias=1', "antialiased"),
        ('coordinate_transformation_mode="tf_crop_and_resize"', "extrapolates"),
    ],
)
def test_refuses_what_reads_more_or_less_than_two_inputs(attributes: str, reason: str) -> None:
    node = last_node(f"""float[8] r = {{0, 0, 0, 0, 1, 1, 2, 1}}> {{ y = Resize <{attributes}> (x, r, s) }}""")
    with pytest.raises(RefusalError, match=reason):
        samplings_of(node)


def test_repeated_inputs_need_no_table() -> None:
    how = 'coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
    node = last_node(f"""float[1] t = {{0}}> {{ y = Resize <{how}> (x, , s) }}""")
    assert [sampling.repeats for sampling in samplings_of(node)] == [1, 1, 2, 0]


def last_node(rest: str) -> ir.Node:
    """Return the Resize of a model by scales of 2 and 1.5, whose text ends so."""
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[1,1,4,4] x) => (float[1,1,8,6] y)
        <float[4] s = {{1, 1, 2, 1.5}}, {rest}"""
    return ir.from_proto(onnx.parser.parse_model(text)).graph[-1]
