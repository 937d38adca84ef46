"""MobileNetV2 at width 1.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018, arXiv:1801.04381, table 2.
3,504,872 parameters at 1000 classes.
"""

from __future__ import annotations

import onnx

from models.network import Network, Value

# expansion, channels, repeats, stride of the first
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def inverted_residual(x: Value, expansion: int, channels: int, stride: int) -> Value:
    """Expand, convolve depthwise, project linearly; add the input where the shapes agree (table 1)."""
    width = expansion * x.channels
    y = x if expansion == 1 else x.conv(width, 1, bias=False).batch_norm().relu6()
    y = y.conv(width, 3, stride=stride, padding=1, groups=width, bias=False).batch_norm().relu6()
    y = y.conv(channels, 1, bias=False).batch_norm()
    return x + y if x.shape == y.shape else y


def build(*, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]."""
    network = Network("mobilenet_v2", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("stem"):
        x = x.conv(32, 3, stride=2, padding=1, bias=False).batch_norm().relu6()
    for stage, (expansion, channels, repeats, stride) in enumerate(STAGES, start=1):
        for index in range(repeats):
            with network.scope(f"stage{stage}/block{index + 1}"):
                x = inverted_residual(x, expansion, channels, stride if index == 0 else 1)
    with network.scope("head"):
        x = x.conv(1280, 1, bias=False).batch_norm().relu6()
        x = x.global_average_pool().flatten().dropout(0.2).linear(classes)
    return network.model(x)
