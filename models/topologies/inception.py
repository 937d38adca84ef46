"""Inception v2, also called BN-Inception.

Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
shift", 2015, arXiv:1502.03167, figure 5. 11,295,240 parameters at 1000 classes. As in the Caffe release, the
convolutions keep their bias before BatchNormalization, and a pooling that strides rounds its size up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx

from models.network import Network, Value, concat


@dataclass(frozen=True)
class Mixed:
    """A row of figure 5: the channels of four parallel branches. Absent `single`: the module strides by 2."""

    single: int | None
    triple: tuple[int, int]
    double: tuple[int, int]
    pool: Literal["average", "max"]
    projection: int | None


MODULES: dict[str, Mixed] = {
    "3a": Mixed(64, (64, 64), (64, 96), "average", 32),
    "3b": Mixed(64, (64, 96), (64, 96), "average", 64),
    "3c": Mixed(None, (128, 160), (64, 96), "max", None),
    "4a": Mixed(224, (64, 96), (96, 128), "average", 128),
    "4b": Mixed(192, (96, 128), (96, 128), "average", 128),
    "4c": Mixed(160, (128, 160), (128, 160), "average", 128),
    "4d": Mixed(96, (128, 192), (160, 192), "average", 128),
    "4e": Mixed(None, (128, 192), (192, 256), "max", None),
    "5a": Mixed(352, (192, 320), (160, 224), "average", 128),
    "5b": Mixed(352, (192, 320), (192, 224), "max", 128),
}


def convolve(x: Value, channels: int, kernel: int, stride: int = 1) -> Value:
    """Convolve with `same` padding, normalize, activate."""
    return x.conv(channels, kernel, stride=stride, padding=kernel // 2).batch_norm().relu()


def mixed(x: Value, row: Mixed) -> Value:
    """Join a 1 × 1, a 3 × 3, two stacked 3 × 3 and a pooling branch along the channels."""
    stride = 1 if row.single else 2
    branches = [convolve(x, row.single, 1)] if row.single else []
    branches.append(convolve(convolve(x, row.triple[0], 1), row.triple[1], 3, stride))
    reduced = convolve(x, row.double[0], 1)
    branches.append(convolve(convolve(reduced, row.double[1], 3), row.double[1], 3, stride))
    pooled = x.average_pool(3, stride=1, padding=1) if row.pool == "average" else max_pool(x, stride)
    branches.append(convolve(pooled, row.projection, 1) if row.projection else pooled)
    return concat(*branches)


def max_pool(x: Value, stride: int) -> Value:
    """Pool 3 × 3; an even size becomes what a `same` convolution with this stride makes of it."""
    return x.max_pool(3, stride=stride, padding=2 - stride, ceil=True)


def build(*, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]; 32 divides image."""
    network = Network("inception_v2", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("stem"):
        x = max_pool(convolve(x, 64, 7, stride=2), 2)
        x = max_pool(convolve(convolve(x, 64, 1), 192, 3), 2)
    for name, row in MODULES.items():
        with network.scope(f"mixed{name}"):
            x = mixed(x, row)
    with network.scope("head"):
        x = x.global_average_pool().flatten().linear(classes)
    return network.model(x)
