"""ResNet.

He et al., "Deep residual learning for image recognition", 2015, arXiv:1512.03385, table 1.
11,689,512 (18), 21,797,672 (34) and 25,557,032 (50) parameters at 1000 classes. The bottleneck strides in its
3 × 3 convolution, as all frameworks ship it today; the paper strides in the 1 × 1 before.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from models.network import Network, Value


def basic(x: Value, width: int, stride: int) -> Value:
    """Two 3 × 3 convolutions beside the shortcut (figure 5, left)."""
    y = x.conv(width, 3, stride=stride, padding=1, bias=False).batch_norm().relu()
    y = y.conv(width, 3, padding=1, bias=False).batch_norm()
    return (y + shortcut(x, y, stride)).relu()


def bottleneck(x: Value, width: int, stride: int) -> Value:
    """Reduce, convolve 3 × 3 and expand fourfold beside the shortcut (figure 5, right)."""
    y = x.conv(width, 1, bias=False).batch_norm().relu()
    y = y.conv(width, 3, stride=stride, padding=1, bias=False).batch_norm().relu()
    y = y.conv(4 * width, 1, bias=False).batch_norm()
    return (y + shortcut(x, y, stride)).relu()


def shortcut(x: Value, y: Value, stride: int) -> Value:
    """Pass x by the block, projected where y has another shape (option B)."""
    if x.shape == y.shape:
        return x
    return x.conv(y.channels, 1, stride=stride, bias=False).batch_norm()


Block = Callable[[Value, int, int], Value]

BLOCKS: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: (basic, (2, 2, 2, 2)),
    34: (basic, (3, 4, 6, 3)),
    50: (bottleneck, (3, 4, 6, 3)),
}


def build(
    depth: int, *, seed: int = 0, batch: int | str = "N", image: int = 224, classes: int = 1000
) -> onnx.ModelProto:
    """Map `image` float32 [batch, 3, image, image] to `logits` [batch, classes]."""
    block, repeats = BLOCKS[depth]
    network = Network(f"resnet{depth}", seed=seed, batch=batch)
    x = network.input(3, image, image)
    with network.scope("stem"):
        x = x.conv(64, 7, stride=2, padding=3, bias=False).batch_norm().relu()
        x = x.max_pool(3, stride=2, padding=1)
    for stage, repeat in enumerate(repeats):
        for index in range(repeat):
            with network.scope(f"stage{stage + 1}/block{index + 1}"):
                x = block(x, 64 << stage, 2 if stage > 0 and index == 0 else 1)
    with network.scope("head"):
        x = x.global_average_pool().flatten().linear(classes)
    return network.model(x)
