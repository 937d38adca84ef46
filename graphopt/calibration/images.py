"""Pictures: reading, resizing and cropping them, as Pillow and torchvision do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from graphopt.calibration.sample import Sample
from graphopt.errors import CalibrationError

Pixels = npt.NDArray[np.uint8]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class ImageFolder:
    """The pictures in a folder and in those below it, by name; read one at a time.

    An orientation that a file notes is not applied, as in torchvision.

    Attributes:
        input: the name of the model's input that they are for.

    """

    paths: tuple[Path, ...]
    input: str

    @staticmethod
    def at(folder: Path, name: str) -> ImageFolder:
        """Find the pictures for the input `name`; raises CalibrationError where there is none."""
        paths = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()))
        if not paths:
            raise CalibrationError(
                f"there is no picture in {str(folder)!r}; put some there, of the kinds {', '.join(sorted(SUFFIXES))}"
            )
        return ImageFolder(paths, name)

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.paths)

    def read(self, start: int, stop: int | None) -> Iterator[Sample]:
        """Yield pictures in RGB, uint8 [height, width, 3]; raises CalibrationError naming one that cannot be read."""
        for path in self.paths[start:stop]:
            yield Sample(repr(str(path)), {self.input: _read(path)})


def resize(pixels: Pixels, size: tuple[int, ...], interpolation: str) -> Pixels:
    """Resize [height, width, channels] to (height, width), or the shorter side to (side,).

    The longer side is rounded down then, as in torchvision.
    """
    pillow = _pillow()
    height, width = pixels.shape[:2]
    if len(size) == 2:
        new_height, new_width = size
    else:
        (side,), shorter = size, min(height, width)
        new_height, new_width = (side * height // shorter, side * width // shorter)
    if (new_height, new_width) == (height, width):
        return pixels
    picture = pillow.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    resized = picture.resize((new_width, new_height), getattr(pillow.Resampling, interpolation.upper()))
    return np.asarray(resized).reshape(new_height, new_width, pixels.shape[2])


def crop(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    """Return the centre, (height, width) or a square of (side,).

    Raises:
        CalibrationError: it exceeds the picture.

    """
    height, width = pixels.shape[:2]
    new_height, new_width = size if len(size) == 2 else size * 2
    if new_height > height or new_width > width:
        raise CalibrationError(
            f"the crop of {new_height} × {new_width} exceeds the picture of {height} × {width}; resize it before"
        )
    top, left = round((height - new_height) / 2), round((width - new_width) / 2)
    return pixels[top : top + new_height, left : left + new_width]


def grey(pixels: Pixels) -> Pixels:
    """Return the luma of a picture in RGB, [height, width]: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    return np.asarray(_pillow().fromarray(pixels).convert("L"))


def _read(path: Path) -> Pixels:
    pillow = _pillow()
    try:
        with pillow.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise CalibrationError(f"{str(path)!r} cannot be read as a picture ({error}); remove or replace it") from error


def _pillow() -> ModuleType:
    try:
        from PIL import Image  # noqa: PLC0415  # an extra: most data come as arrays
    except ImportError as error:
        raise CalibrationError("pictures need Pillow, which is missing; pip install 'graphopt[images]'") from error
    return Image
