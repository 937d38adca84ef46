"""ShuffleNet V2 at width 1.

Ma et al., "ShuffleNet V2: practical guidelines for efficient CNN architecture design", 2018,
arXiv:1807.11164, table 5 and figure 3.
2,278,604 parameters at 1000 classes.
"""

from __future__ import annotations

import onnx

from models.network import Network, Value, concat

# channels, units; the first of them strides by 2
STAGES = (
    (116, 4),
    (232, 8),
    (464, 4),
)


def pointwise(x: Value, channels: int) -> Value:
    """Convolve 1 × 1, normalize, activate."""
    return x.conv(channels, 1, bias=False).batch_norm().relu()


def depthwise(x: Value, stride: int) -> Value:
    """Convolve each channel 3 × 3 by itself and normalize."""
    return x.conv(x.channels, 3, stride=stride, padding=1, groups=x.channels, bias=False).batch_norm()


def unit(x: Value) -> Value:
    """Leave half of the channels, transform the others, shuffle (figure 3c)."""
    kept, moved = x.split(2)
    moved = pointwise(depthwise(pointwise(moved, moved.channels), 1), moved.channels)
    return concat(kept, moved).channel_shuffle(2)


def downsampling_unit(x: Value, channels: int) -> Value:
    """Halve the size in two branches over all channels, shuffle (figure 3d)."""
    left = pointwise(depthwise(x, 2), channels // 2)
    right = pointwise(depthwise(pointwise(x, channels // 2), 2), channels // 2)
    return concat(left, right).channel_shuffle(2)


def build(*, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]."""
    network = Network("shufflenet_v2", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("stem"):
        x = x.conv(24, 3, stride=2, padding=1, bias=False).batch_norm().relu()
        x = x.max_pool(3, stride=2, padding=1)
    for stage, (channels, units) in enumerate(STAGES, start=2):
        for index in range(1, units + 1):
            with network.scope(f"stage{stage}/unit{index}"):
                x = downsampling_unit(x, channels) if index == 1 else unit(x)
    with network.scope("head"):
        x = pointwise(x, 1024).global_average_pool().flatten().linear(classes)
    return network.model(x)
