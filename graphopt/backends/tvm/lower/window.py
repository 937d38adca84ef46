"""The sliding window of convolutions and pools (ONNX operator spec: Conv, MaxPool, AveragePool)."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from graphopt.backends.tvm.lower.refusal import RefusalError


@dataclass(frozen=True)
class Window:
    """How a kernel slides over the spatial axes; one number an axis in each field."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def is_pointwise(self) -> bool:
        """Whether each output reads exactly the input at its own place."""
        ones = (1,) * len(self.kernel)
        return self.kernel == self.strides == ones and not self.is_padded

    @property
    def is_padded(self) -> bool:
        """Whether the window leaves the input anywhere."""
        return any(self.begins) or any(self.ends)

    def reach(self, axis: int) -> int:
        """Return how many input positions one application spans on a spatial axis."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def padding_for(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[int, ...]:
        """Return how far beyond the input the last window ends (`ends`, or more where ceil_mode adds a window)."""
        return tuple(
            max(0, (outputs[axis] - 1) * self.strides[axis] + self.reach(axis) - inputs[axis] - self.begins[axis])
            for axis in range(len(self.kernel))
        )


def window_of(node: ir.Node, inputs: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """Read the window attributes of a node whose spatial input extents are `inputs`.

    Raises:
        RefusalError: pads are negative, or the attributes do not have one number an axis.

    """
    rank = len(inputs)
    ones = [1] * rank
    strides = tuple(node.attributes.get_ints("strides", ones))
    dilations = tuple(node.attributes.get_ints("dilations", ones))
    pads = tuple(node.attributes.get_ints("pads", [0] * (2 * rank)))
    if not len(kernel) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank:
        raise RefusalError("kernel_shape, strides, dilations or pads do not have one number an axis")
    if any(pad < 0 for pad in pads):
        raise RefusalError("its pads are negative")
    window = Window(kernel, strides, dilations, pads[:rank], pads[rank:])
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if automatic in {"SAME_UPPER", "SAME_LOWER"}:
        return _same(window, inputs, upper=automatic == "SAME_UPPER")
    if automatic == "VALID":
        return Window(kernel, strides, dilations, (0,) * rank, (0,) * rank)
    return window


def _same(window: Window, inputs: tuple[int, ...], *, upper: bool) -> Window:
    totals = [
        max(0, (-(-extent // stride) - 1) * stride + window.reach(axis) - extent)
        for axis, (extent, stride) in enumerate(zip(inputs, window.strides, strict=True))
    ]
    small = tuple(total // 2 for total in totals)
    large = tuple(total - half for total, half in zip(totals, small, strict=True))
    begins, ends = (small, large) if upper else (large, small)
    return Window(window.kernel, window.strides, window.dilations, begins, ends)
