"""The network that reads digits: small, with one of each block that a compiler meets in larger ones."""

from __future__ import annotations

import onnx

from models.network import Network, Value

WHITE = 16.0  # the highest grey level of the images


def residual(x: Value) -> Value:
    """Add two 3 × 3 convolutions to their input (He et al. 2015, arXiv:1512.03385)."""
    y = x.conv(x.channels, 3, padding=1, bias=False).batch_norm().relu()
    y = y.conv(x.channels, 3, padding=1, bias=False).batch_norm()
    return (x + y).relu()


def depthwise(x: Value, stride: int = 1) -> Value:
    """Convolve each channel by itself, normalize, activate."""
    channels = x.channels
    return x.conv(channels, 3, stride=stride, padding=1, groups=channels, bias=False).batch_norm().relu6()


def squeeze_excite(x: Value) -> Value:
    """Weigh the channels by what all of them show on average (Hu et al. 2017, arXiv:1709.01507)."""
    gate = x.global_average_pool().conv(x.channels // 4, 1).relu().conv(x.channels, 1).sigmoid()
    return x * gate


def inverted_residual(x: Value, expansion: int) -> Value:
    """Widen, convolve depthwise, weigh, project back, add (Sandler et al. 2018, arXiv:1801.04381)."""
    y = x.conv(expansion * x.channels, 1, bias=False).batch_norm().relu6()
    y = squeeze_excite(depthwise(y)).conv(x.channels, 1, bias=False).batch_norm()
    return x + y


def build(*, seed: int = 0, batch: int | str = "N") -> onnx.ModelProto:
    """Map `image` float32 [batch, 1, 8, 8], grey levels 0 … 16, to `logits` [batch, 10], untrained."""
    network = Network("digits", seed=seed, batch=batch)
    x = network.input(1, 8, 8) / WHITE
    with network.scope("stem"):
        x = x.conv(24, 3, padding=1, bias=False).batch_norm().relu()
    with network.scope("residual"):
        x = residual(x)
    with network.scope("downsample"):
        x = depthwise(x, stride=2).conv(48, 1, bias=False).batch_norm()
    with network.scope("inverted"):
        x = inverted_residual(x, 2)
    with network.scope("head"):
        x = x.conv(96, 1, bias=False).batch_norm().relu().max_pool(2, stride=2)
        x = x.flatten().dropout(0.2).linear(10)
    return network.model(x)
