"""VGG.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014,
arXiv:1409.1556, configurations D and E of table 1.
138,357,544 (VGG-16) and 143,667,240 (VGG-19) parameters at 224 × 224 and 1000 classes.
"""

from __future__ import annotations

import onnx

from models.network import Network

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
HIDDEN = 4096


def build(
    depth: int, *, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000
) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]; image ≥ 32."""
    network = Network(f"vgg{depth}", seed=seed, batch=batch)
    x = network.input(3, image, image)
    for stage, (width, convolutions) in enumerate(zip(WIDTHS, CONVOLUTIONS[depth], strict=True), start=1):
        with network.scope(f"stage{stage}"):
            for _ in range(convolutions):
                x = x.conv(width, 3, padding=1).relu()
            x = x.max_pool(2, stride=2)
    with network.scope("classifier"):
        x = x.flatten().linear(HIDDEN).relu().dropout()
        x = x.linear(HIDDEN).relu().dropout()
        x = x.linear(classes)
    return network.model(x)
