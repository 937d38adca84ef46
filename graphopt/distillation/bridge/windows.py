"""Windows that slide over the spatial axes, with the padding that PyTorch takes beforehand."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from graphopt.distillation.bridge.call import Call


@dataclass(frozen=True)
class Windows:
    """How a kernel slides over an input; one number a spatial axis in each field.

    Attributes:
        begins, ends: how many elements are added before and behind.
        extra: how many more behind, which belong to no input: those of a last window that is rounded up to.

    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    extra: tuple[int, ...]

    @staticmethod
    def of(call: Call, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
        """Read the attributes of a convolution or a pool (ONNX operator spec, Conv-22, MaxPool-22)."""
        rank = len(kernel)
        strides = tuple(call.ints("strides") or [1] * rank)
        dilations = tuple(call.ints("dilations") or [1] * rank)
        reach = [(size - 1) * apart + 1 for size, apart in zip(kernel, dilations, strict=True)]
        begins, ends = _pads(call, spatial, strides, reach)
        extra = [0] * rank
        if call.number("ceil_mode", 0):
            padded = [sum(sizes) for sizes in zip(spatial, begins, ends, strict=True)]
            starts = [size + begin for size, begin in zip(spatial, begins, strict=True)]
            extra = [_extra(*sizes) for sizes in zip(padded, starts, reach, strides, strict=True)]
        return Windows(kernel, strides, dilations, begins, ends, tuple(extra))

    @property
    def is_symmetric(self) -> bool:
        """Whether PyTorch can add the padding itself."""
        return self.begins == self.ends and not any(self.extra)

    def pad(self, x: Tensor, value: float) -> Tensor:
        """Add all padding to [N, C, …]; what is rounded up to has the value too."""
        ends = [end + more for end, more in zip(self.ends, self.extra, strict=True)]
        return padded(x, self.begins, ends, value)


def padded(x: Tensor, begins: tuple[int, ...] | list[int], ends: tuple[int, ...] | list[int], value: float) -> Tensor:
    """Pad the last axes by a value, or crop them where a number is negative."""
    if not any(begins) and not any(ends):
        return x
    borders = [size for pair in zip(reversed(begins), reversed(ends), strict=True) for size in pair]
    return functional.pad(x, borders, value=value)


def _pads(
    call: Call, spatial: tuple[int, ...], strides: tuple[int, ...], reach: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = len(spatial)
    automatic = call.text("auto_pad", "NOTSET")
    if automatic in {"NOTSET", "VALID"}:
        pads = (None if automatic == "VALID" else call.ints("pads")) or [0] * 2 * rank
        return tuple(pads[:rank]), tuple(pads[rank:])
    totals = [
        max((-(-size // stride) - 1) * stride + extent - size, 0)
        for size, stride, extent in zip(spatial, strides, reach, strict=True)
    ]
    smaller, larger = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (smaller, larger) if automatic == "SAME_UPPER" else (larger, smaller)


def _extra(padded_size: int, start_of_end: int, reach: int, stride: int) -> int:
    """Return what a last window needs beyond the padding, if it starts before the padding behind does."""
    count = -(-(padded_size - reach) // stride) + 1
    if (count - 1) * stride >= start_of_end:
        count -= 1
    return max((count - 1) * stride + reach - padded_size, 0)
