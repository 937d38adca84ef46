"""DenseNet-BC with growth rate 32.

Huang et al., "Densely connected convolutional networks", 2016, arXiv:1608.06993, table 1.
7,978,856 parameters (DenseNet-121) at 1000 classes. Normalization and activation stand before each
convolution, so half of the BatchNormalizations follow a Concat and have no convolution to fold into.
"""

from __future__ import annotations

import onnx

from models.network import Network, Value, concat

GROWTH = 32
LAYERS = {
    121: (6, 12, 24, 16),
}


def dense_layer(x: Value) -> Value:
    """Append GROWTH channels computed from all channels so far, through a 1 × 1 bottleneck."""
    y = x.batch_norm().relu().conv(4 * GROWTH, 1, bias=False)
    y = y.batch_norm().relu().conv(GROWTH, 3, padding=1, bias=False)
    return concat(x, y)


def transition(x: Value) -> Value:
    """Halve the channels, the height and the width."""
    return x.batch_norm().relu().conv(x.channels // 2, 1, bias=False).average_pool(2, stride=2)


def build(
    depth: int = 121, *, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000
) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]; image ≥ 29."""
    network = Network(f"densenet{depth}", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("stem"):
        x = x.conv(2 * GROWTH, 7, stride=2, padding=3, bias=False).batch_norm().relu()
        x = x.max_pool(3, stride=2, padding=1)
    for block, layers in enumerate(LAYERS[depth], start=1):
        if block > 1:
            with network.scope(f"transition{block - 1}"):
                x = transition(x)
        for layer in range(1, layers + 1):
            with network.scope(f"block{block}/layer{layer}"):
                x = dense_layer(x)
    with network.scope("head"):
        x = x.batch_norm().relu().global_average_pool().flatten().linear(classes)
    return network.model(x)
