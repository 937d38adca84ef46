"""AlexNet, the single-tower form.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, arXiv:1404.5997.
61,100,840 parameters at 224 × 224 and 1000 classes.
"""

from __future__ import annotations

import onnx

from models.network import Network

HIDDEN = 4096


def build(*, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]; image ≥ 63."""
    network = Network("alexnet", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("features"):
        x = x.conv(64, 11, stride=4, padding=2).relu().max_pool(3, stride=2)
        x = x.conv(192, 5, padding=2).relu().max_pool(3, stride=2)
        x = x.conv(384, 3, padding=1).relu()
        x = x.conv(256, 3, padding=1).relu()
        x = x.conv(256, 3, padding=1).relu().max_pool(3, stride=2)
    with network.scope("classifier"):
        x = x.flatten().dropout().linear(HIDDEN).relu()
        x = x.dropout().linear(HIDDEN).relu()
        x = x.linear(classes)
    return network.model(x)
