"""From a picture to a network's input, as one text that is kept in the model.

    preprocess{resize=256 crop=224 scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225}

is what most networks trained on ImageNet take: the shorter side resized, the centre cropped, (x · scale − mean) / std.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.calibration import images
from graphopt.errors import CalibrationError
from graphopt.pipeline.options import OptionError, build, format_options
from graphopt.spec import Spec, SpecError, parse_spec
from graphopt.tensors import Array

NAME = "preprocess"
METADATA_KEY = "graphopt.preprocess"
"""Where a model keeps the text, in its metadata_props."""


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become inputs, step by step in the order of the fields.

    Attributes:
        order: of the channels.
        resize: nothing, the length of the shorter side, or height and width.
        interpolation: of resizing; smoothed where it makes smaller, as in Pillow and torchvision.
        crop: nothing, the side of the square in the centre, or height and width.
        scale: what the values 0 to 255 are multiplied by.
        mean, std: subtracted and divided by after scaling: nothing, one number, or one for each channel in `order`.
        layout: whether the channels come before or after height and width.

    Raises:
        CalibrationError: sizes or counts of numbers that make no sense.

    """

    order: Literal["rgb", "bgr", "grey"] = "rgb"
    resize: tuple[int, ...] = ()
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    crop: tuple[int, ...] = ()
    scale: Fraction = Fraction(1)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: Literal["nchw", "nhwc"] = "nchw"

    def __post_init__(self) -> None:
        channels = 1 if self.order == "grey" else 3
        for option, sizes in (("resize", self.resize), ("crop", self.crop)):
            if len(sizes) > 2 or any(size < 1 for size in sizes):
                raise CalibrationError(f"option {option!r} of {NAME!r} must be a side, or height,width: {option}=224")
        for option, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in {0, 1, channels}:
                raise CalibrationError(
                    f"option {option!r} of {NAME!r} has {len(numbers)} numbers for {channels} channels; "
                    "give one for each, or one for all"
                )
        if 0 in self.std:
            raise CalibrationError(f"option 'std' of {NAME!r} divides by zero; give positive numbers")

    def __str__(self) -> str:
        return str(Spec(NAME, format_options(self)))

    def apply(self, image: npt.NDArray[np.uint8], dtype: np.dtype[np.generic]) -> Array:
        """Return a picture, uint8 [height, width, 3] in RGB or [height, width] in grey, as an input without batch axis.

        An input of integers gets the pixels as they are; arithmetic is done in float32.

        Raises:
            CalibrationError: the array is no picture, the crop exceeds it, or integers would have to be normalized.

        """
        pixels = self._coloured(image)
        if self.resize:
            pixels = images.resize(pixels, self.resize, self.interpolation)
        if self.crop:
            pixels = images.crop(pixels, self.crop)
        ordered = pixels[..., ::-1] if self.order == "bgr" else pixels
        values = self._normalized(ordered, dtype)
        return np.ascontiguousarray(values.transpose(2, 0, 1) if self.layout == "nchw" else values)

    def _coloured(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the picture with an axis of as many channels as are asked for."""
        flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
        if flat.ndim != 2 and not (flat.ndim == 3 and flat.shape[2] == 3):
            raise CalibrationError(
                f"an array of shape {list(image.shape)} is no picture; give [height, width, 3], or [height, width]"
            )
        if self.order == "grey":
            return (flat if flat.ndim == 2 else images.grey(flat))[..., None]
        return flat if flat.ndim == 3 else np.repeat(flat[..., None], 3, axis=2)

    def _normalized(self, pixels: npt.NDArray[np.uint8], dtype: np.dtype[np.generic]) -> Array:
        if dtype.kind in "iu":
            if self.scale != 1 or self.mean or self.std:
                raise CalibrationError(
                    f"the input takes {dtype.name}, which {NAME!r} cannot normalize; leave out scale, mean and std"
                )
            return pixels
        values = pixels.astype(np.float32) * np.float32(self.scale.numerator) / np.float32(self.scale.denominator)
        if self.mean:
            values -= np.array(self.mean, np.float32)
        if self.std:
            values /= np.array(self.std, np.float32)
        return values.astype(dtype, copy=False)


def parse_preprocessing(text: str) -> Preprocessing:
    """Read the text of a preprocessing; raises CalibrationError."""
    try:
        spec = parse_spec(text)
        if spec.name != NAME:
            raise CalibrationError(f"cannot read {text!r}: it is called {NAME!r}, as in {NAME}{{crop=224 scale=1/255}}")
        return build(Preprocessing, spec, "step")
    except (SpecError, OptionError) as error:
        raise CalibrationError(f"cannot read the preprocessing: {error}") from error


def kept_preprocessing(model: ir.Model) -> Preprocessing | None:
    """Return what a model says of the pictures that it takes, if it does; raises CalibrationError where it is wrong."""
    text = model.metadata_props.get(METADATA_KEY)
    return None if text is None else parse_preprocessing(text)


def keep_preprocessing(model: ir.Model, preprocessing: Preprocessing) -> None:
    """Let a model say what pictures it takes, in place of what it said before."""
    model.metadata_props[METADATA_KEY] = str(preprocessing)


def take_preprocessing(model: ir.Model, given: str | Preprocessing | None) -> Preprocessing | None:
    """Return what is given, parsed, and let the model keep it; None, and what it keeps already, where nothing is given.

    Raises:
        CalibrationError: the text.

    """
    taken = parse_preprocessing(given) if isinstance(given, str) else given
    if taken is not None:
        keep_preprocessing(model, taken)
    return taken
