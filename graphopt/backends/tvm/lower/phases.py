"""Which taps of a transposed convolution meet an output (ONNX operator spec, ConvTranspose-11).

With stride s and b outputs cut off in front, input p and tap k make the output t for which t + b = p·s + k. So an
output is met by every s-th tap, from its phase (t + b) mod s on, and tap (t + b) mod s + j·s reads input
(t + b) div s - j. For K taps, j takes ceil(K / s) turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
from tvm import tirx

from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.window import Window, window_of


@dataclass(frozen=True)
class Phases:
    """How outputs meet taps; one number an axis in each field.

    Attributes:
        strides: how many phases there are.
        begins: outputs that are cut off in front.
        turns: taps that meet one output.

    """

    strides: tuple[int, ...]
    begins: tuple[int, ...]
    turns: tuple[int, ...]

    @property
    def window(self) -> Window:
        """The window over the inputs, which moves by one from one place to the next."""
        ones, zeros = (1,) * len(self.turns), (0,) * len(self.turns)
        axes = zip(self.turns, self.begins, self.strides, strict=True)
        return Window(
            self.turns, ones, ones, tuple(turns - 1 - begin // stride for turns, begin, stride in axes), zeros
        )

    def places(self, outputs: Sequence[int]) -> tuple[int, ...]:
        """Return how many places of the window so many outputs have."""
        axes = zip(outputs, self.begins, self.strides, strict=True)
        return tuple((extent - 1 + begin % stride) // stride + 1 for extent, begin, stride in axes)

    def of(self, position: Sequence[tirx.Var]) -> tuple[list[tirx.Expr], list[tirx.Expr]]:
        """Return the place of the window, and the phase, of an output."""
        axes = list(zip(position, self.begins, self.strides, strict=True))
        places = [(output + begin % stride) // stride for output, begin, stride in axes]
        return places, [(output + begin % stride) % stride for output, begin, stride in axes]


def phases_of(
    node: ir.Node, inputs: tuple[int, ...], kernel: tuple[int, ...], outputs: tuple[int, ...]
) -> tuple[Phases, Window]:
    """Read the attributes of a ConvTranspose, whose spatial extents are given, and the window that they declare.

    Raises:
        RefusalError: pads are negative or cut off whole inputs, or an attribute does not have one number an axis.

    """
    declared = window_of(node, inputs, kernel)
    axes = range(len(kernel))
    begins = tuple(_begin(node, declared, axis, (inputs[axis], outputs[axis])) for axis in axes)
    turns = tuple(-(-declared.reach(axis) // declared.strides[axis]) for axis in axes)
    phases = Phases(declared.strides, begins, turns)
    if any(begin < 0 for begin in phases.window.begins):
        raise RefusalError("its pads cut off all that an input makes")
    return phases, declared


def _begin(node: ir.Node, declared: Window, axis: int, extents: tuple[int, int]) -> int:
    """Return what is cut off in front; where the output's extent is given instead, half of what it does not hold."""
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if automatic in {"NOTSET", "VALID"} and "output_shape" not in node.attributes:
        return declared.begins[axis]
    inputs, outputs = extents
    added = node.attributes.get_ints("output_padding", [0] * len(declared.kernel))[axis]
    total = max(0, (inputs - 1) * declared.strides[axis] + added + declared.reach(axis) - outputs)
    return total // 2 if automatic == "SAME_UPPER" else total - total // 2
