"""From pictures to inputs: the steps one by one, and the text that says them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from graphopt.calibration.preprocessing import (
    METADATA_KEY,
    Preprocessing,
    keep_preprocessing,
    kept_preprocessing,
    parse_preprocessing,
)
from graphopt.errors import CalibrationError
from graphopt.ir.load import load
from graphopt.ir.save import save
from tests.networks import network
from tests.shared_models import HALF, IMAGENET_MEAN, IMAGENET_STD, normalized

FLOAT = np.dtype(np.float32)
IMAGENET = "preprocess{crop=224 scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225}"
PICTURE = np.random.default_rng(0).integers(0, 256, (256, 300, 3), np.uint8)


def applied(
    text: str, picture: npt.NDArray[np.uint8] = PICTURE, dtype: npt.DTypeLike = FLOAT
) -> npt.NDArray[np.generic]:
    return parse_preprocessing(text).apply(picture, np.dtype(dtype))


@pytest.mark.parametrize(
    "text",
    [
        "preprocess",
        IMAGENET,
        "preprocess{order=bgr resize=256 interpolation=bicubic crop=224,200 scale=1/127 std=0.5 layout=nhwc}",
        "preprocess{order=grey resize=28,28}",
    ],
)
def test_the_text_is_printed_back(text: str) -> None:
    assert str(parse_preprocessing(text)) == text


def test_the_fields_are_the_options() -> None:
    made = Preprocessing(crop=(224,), scale=Fraction(1, 255), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert made == parse_preprocessing(IMAGENET)


def test_the_recipe_of_imagenet_is_reproduced_to_the_bit() -> None:
    expected = normalized(PICTURE[16:240, 38:262], IMAGENET_MEAN, IMAGENET_STD)[0]
    found = applied(IMAGENET)
    assert found.dtype == np.float32
    assert found.tobytes() == expected.tobytes()


def test_blue_comes_first_where_it_shall_and_means_follow_the_order() -> None:
    text = "preprocess{order=bgr scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225}"
    assert applied(text).tobytes() == normalized(PICTURE[..., ::-1], IMAGENET_MEAN, IMAGENET_STD)[0].tobytes()


def test_one_number_is_for_all_channels() -> None:
    text = "preprocess{scale=1/255 mean=0.5 std=0.5}"
    assert applied(text).tobytes() == normalized(PICTURE, HALF, HALF)[0].tobytes()


def test_pixels_stay_what_they_are_where_nothing_is_said() -> None:
    assert np.array_equal(applied("preprocess"), PICTURE.transpose(2, 0, 1))
    assert np.array_equal(applied("preprocess{layout=nhwc}"), PICTURE)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_the_input_says_the_type(dtype: npt.DTypeLike) -> None:
    assert applied("preprocess", dtype=dtype).dtype == dtype


@pytest.mark.parametrize(
    ("option", "shape"), [("resize=128", (128, 150)), ("resize=64,32", (64, 32)), ("resize=256", (256, 300))]
)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_resizing_is_that_of_pillow(option: str, shape: tuple[int, int], interpolation: str) -> None:
    method = Image.Resampling[interpolation.upper()]
    expected = np.asarray(Image.fromarray(PICTURE).resize(shape[::-1], method))
    found = applied(f"preprocess{{{option} interpolation={interpolation} layout=nhwc}}")
    assert np.array_equal(found, expected)


def test_of_an_upright_picture_the_shorter_side_is_its_width() -> None:
    assert applied("preprocess{resize=128}", PICTURE.transpose(1, 0, 2)).shape == (3, 150, 128)


def test_grey_is_luma_and_may_come_as_such() -> None:
    luma = np.asarray(Image.fromarray(PICTURE).convert("L"))
    for picture in (PICTURE, luma, luma[..., None]):
        assert np.array_equal(applied("preprocess{order=grey}", picture)[0], luma)
    assert np.array_equal(applied("preprocess", luma), np.stack([luma] * 3))
    assert applied("preprocess{order=grey resize=28,28}", luma).shape == (1, 28, 28)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("preprocess{crop}", "expected 'option=value'"),
        ("normalize{crop=224}", "is called 'preprocess'"),
        ("preprocess{cropped=224}", "has no option 'cropped' (did you mean 'crop'?)"),
        ("preprocess{scale=1/0}", "option scale=1/0 of step 'preprocess' must be Fraction"),
        ("preprocess{order=cmyk}", "must be rgb|bgr|grey"),
        ("preprocess{crop=1,2,3}", "must be a side, or height,width"),
        ("preprocess{resize=0}", "must be a side, or height,width"),
        ("preprocess{mean=1,2}", "'mean' of 'preprocess' has 2 numbers for 3 channels"),
        ("preprocess{order=grey std=1,2,3}", "has 3 numbers for 1 channels"),
        ("preprocess{std=0}", "divides by zero"),
    ],
)
def test_texts_that_say_nothing_sensible_are_refused(text: str, words: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        parse_preprocessing(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "picture", "dtype", "words"),
    [
        ("preprocess{crop=224}", PICTURE[:100], FLOAT, "crop of 224 × 224 exceeds the picture of 100 × 300"),
        ("preprocess", PICTURE[None], FLOAT, "is no picture"),
        ("preprocess{scale=1/255}", PICTURE, np.uint8, "cannot normalize"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(
    text: str, picture: npt.NDArray[np.uint8], dtype: npt.DTypeLike, words: str
) -> None:
    with pytest.raises(CalibrationError, match=words):
        applied(text, picture, dtype)


def test_the_model_keeps_the_text_in_its_file(tmp_path: Path) -> None:
    model = network()
    assert kept_preprocessing(model) is None
    keep_preprocessing(model, parse_preprocessing(IMAGENET))
    save(model, tmp_path / "model.onnx")
    again = load(tmp_path / "model.onnx")
    assert again.metadata_props[METADATA_KEY] == IMAGENET
    assert kept_preprocessing(again) == parse_preprocessing(IMAGENET)
