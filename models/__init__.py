"""Networks to try a compiler on: builders of known topologies, and a small one that was trained.

`python -m models resnet50 -o resnet50.onnx` writes one to a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import onnx

from models.topologies import (
    alexnet,
    densenet,
    inception,
    mobilenet_v2,
    resnet,
    shufflenet,
    squeezenet,
    unet,
    vgg,
)


class Builder(Protocol):
    """What every topology offers; some take more."""

    def __call__(
        self, *, seed: int = ..., batch: int | str = ..., image: int = ..., classes: int = ...
    ) -> onnx.ModelProto:
        """Build for square images of `image` pixels; a string as `batch` names a dynamic dimension."""


TOPOLOGIES: Mapping[str, Builder] = {
    "alexnet": alexnet.build,
    "densenet121": partial(densenet.build, 121),
    "inception_v2": inception.build,
    "mobilenet_v2": mobilenet_v2.build,
    "resnet18": partial(resnet.build, 18),
    "resnet34": partial(resnet.build, 34),
    "resnet50": partial(resnet.build, 50),
    "shufflenet_v2": shufflenet.build,
    "squeezenet1.0": partial(squeezenet.build, "1.0"),
    "squeezenet1.1": partial(squeezenet.build, "1.1"),
    "unet": unet.build,
    "vgg16": partial(vgg.build, 16),
    "vgg19": partial(vgg.build, 19),
}
