"""SqueezeNet.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
arXiv:1602.07360, table 1; version 1.1 is from the authors' repository, forresti/SqueezeNet.
1,248,424 (1.0) and 1,235,496 (1.1) parameters at 1000 classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from models.network import Network, Value, concat


@dataclass(frozen=True)
class Version:
    """The first convolution, then the squeeze widths of the fire modules; each stage opens with a pooling."""

    channels: int
    kernel: int
    squeeze: tuple[tuple[int, ...], ...]


VERSIONS = {
    "1.0": Version(96, 7, ((16, 16, 32), (32, 48, 48, 64), (64,))),
    "1.1": Version(64, 3, ((16, 16), (32, 32), (48, 48, 64, 64))),
}


def fire(x: Value, squeeze: int) -> Value:
    """Squeeze by 1 × 1, then expand fourfold by 1 × 1 and by 3 × 3 side by side."""
    x = x.conv(squeeze, 1).relu()
    return concat(x.conv(4 * squeeze, 1).relu(), x.conv(4 * squeeze, 3, padding=1).relu())


def build(
    version: str = "1.1", *, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000
) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]; image ≥ 32."""
    table = VERSIONS[version]
    network = Network("squeezenet", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("stem"):
        x = x.conv(table.channels, table.kernel, stride=2).relu()
    for stage, modules in enumerate(table.squeeze, start=1):
        x = x.max_pool(3, stride=2, ceil=True)
        for index, squeeze in enumerate(modules, start=1):
            with network.scope(f"stage{stage}/fire{index}"):
                x = fire(x, squeeze)
    with network.scope("head"):
        x = x.dropout().conv(classes, 1).relu().global_average_pool().flatten()
    return network.model(x)
