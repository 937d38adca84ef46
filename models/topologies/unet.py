"""U-Net.

Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", 2015, arXiv:1505.04597,
figure 1. 31,037,698 parameters at 3 input channels and 2 classes. As commonly built today, the convolutions
pad (so the mask is as large as the image) and are followed by BatchNormalization instead of having a bias.
"""

from __future__ import annotations

import onnx

from models.network import Network, Value, concat

WIDTHS = (64, 128, 256, 512, 1024)


def double_conv(x: Value, width: int) -> Value:
    """Convolve 3 × 3, normalize and activate, twice."""
    for _ in range(2):
        x = x.conv(width, 3, padding=1, bias=False).batch_norm().relu()
    return x


def build(*, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 2) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `mask` [batch, classes, image, image]; 16 | image."""
    network = Network("unet", seed=seed, batch=batch)
    x = network.input(3, image, image)
    skips: list[Value] = []
    for width in WIDTHS[:-1]:
        with network.scope(f"down{width}"):
            x = double_conv(x, width)
            skips.append(x)
            x = x.max_pool(2, stride=2)
    with network.scope("bottom"):
        x = double_conv(x, WIDTHS[-1])
    for width in reversed(WIDTHS[:-1]):
        with network.scope(f"up{width}"):
            x = double_conv(concat(skips.pop(), x.conv_transpose(width, 2, stride=2)), width)
    return network.model(x.conv(classes, 1), name="mask")
