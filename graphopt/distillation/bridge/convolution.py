"""Convolutions over one to three spatial axes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from graphopt.distillation.bridge.call import Call
from graphopt.distillation.bridge.windows import Windows, padded

_FORWARD = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def convolution(call: Call) -> Tensor:
    """Conv (ONNX operator spec, Conv-22)."""
    x, weight = call[0], call[1]
    windows = Windows.of(call, tuple(x.shape[2:]), tuple(weight.shape[2:]))
    padding: tuple[int, ...] | int = windows.begins
    if not windows.is_symmetric:
        x, padding = windows.pad(x, 0.0), 0
    convolve = _FORWARD[x.ndim - 2]
    return convolve(x, weight, call.get(2), windows.strides, padding, windows.dilations, call.number("group", 1))


def transposed_convolution(call: Call) -> Tensor:
    """ConvTranspose (ONNX operator spec, ConvTranspose-22): all that the kernels reach, then cropped or extended."""
    x, weight, bias = call[0], call[1], call.get(2)
    rank = x.ndim - 2
    strides = call.ints("strides") or [1] * rank
    dilations = call.ints("dilations") or [1] * rank
    convolve = _TRANSPOSED[rank]
    whole = convolve(x, weight, None, strides, 0, 0, call.number("group", 1), dilations)
    begins, ends = _crops(call, list(x.shape[2:]), list(whole.shape[2:]), strides)
    y = padded(whole, [-size for size in begins], [-size for size in ends], 0.0)
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def _crops(call: Call, sizes: list[int], whole: list[int], strides: list[int]) -> tuple[list[int], list[int]]:
    """Return what leaves before and behind; a negative number is added instead, as `output_padding` asks."""
    rank = len(sizes)
    added = call.ints("output_padding") or [0] * rank
    automatic = call.text("auto_pad", "NOTSET")
    wanted = call.ints("output_shape")
    if wanted is None and automatic in {"NOTSET", "VALID"}:
        pads = (None if automatic == "VALID" else call.ints("pads")) or [0] * 2 * rank
        return pads[:rank], [end - more for end, more in zip(pads[rank:], added, strict=True)]
    wanted = wanted or [size * stride for size, stride in zip(sizes, strides, strict=True)]
    totals = [size + more - target for size, more, target in zip(whole, added, wanted[-rank:], strict=True)]
    halves = [max(total, 0) // 2 for total in totals]
    others = [max(total, 0) - half for total, half in zip(totals, halves, strict=True)]
    begins = halves if automatic == "SAME_UPPER" else others
    return begins, [size - start - target for size, start, target in zip(whole, begins, wanted[-rank:], strict=True)]
