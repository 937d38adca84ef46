"""What multiplies and adds after a normalization is part of its scale and bias.

LayerNormalization-17 and RMSNormalization-23 have parameters of the shape of x from `axis` on;
InstanceNormalization-6 and GroupNormalization-21 have one number a channel (axis 1). With n the normalized x:
c·(scale·n + bias) = (c·scale)·n + c·bias, and so for /, + and -.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, op, optional, parameter
from graphopt.rewrite.pattern import Op
from passes.recover_operators.axes import rank_of
from passes.recover_operators.spelling import real

Float64 = npt.NDArray[np.float64]

_PER_CHANNEL = ("InstanceNormalization", "GroupNormalization")
_PER_ELEMENT = ("LayerNormalization", "RMSNormalization")


class NormalizationThenStep(Rule):
    """c·(scale·n + bias) = (c·scale)·n + c·bias, and so for /, + and -."""

    pattern: ClassVar[Op] = op("Mul", "Div", "Add", "Sub")(
        op(*_PER_CHANNEL, *_PER_ELEMENT)(real(), parameter("scale"), optional(parameter("bias")), name="norm"),
        const("operand"),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is not of the parameters' shape, and a bias where there can be none."""
        if match.node("norm").op_type == "RMSNormalization" and match.root.op_type in ("Add", "Sub"):
            return "RMSNormalization has no bias"
        layout = _layout(match)
        if layout is None:
            return f"the shape of {match['x'].name!r} is not known to be that of the normalization's parameters"
        operand = match.constant("operand").shape
        missing = len(layout) - len(operand)
        if missing < 0 or any(a not in (1, b) for a, b in zip((1,) * missing + operand, layout, strict=True)):
            return f"{match['operand'].name!r} is not of the shape of the normalization's parameters"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Change the normalization's parameters."""
        scale, bias = _real(match, "scale"), _real(match, "bias") if "bias" in match else None
        layout = _layout(match) or ()
        operand = np.broadcast_to(_real(match, "operand"), layout).reshape(scale.shape)
        zero = np.zeros_like(scale)
        match match.root.op_type:
            case "Mul" | "Div":
                factor = operand if match.root.op_type == "Mul" else 1 / operand
                scale, bias = scale * factor, None if bias is None else bias * factor
            case "Add":
                bias = (zero if bias is None else bias) + operand
            case _:
                bias = (zero if bias is None else bias) - operand
        dtype = match.dtype("scale")
        parameters = [build.constant("scale", scale, dtype)]
        if bias is not None:
            parameters.append(build.constant("bias", bias, dtype))
        return build.like(match.node("norm"), [match["x"], *parameters])


def _layout(match: Match) -> tuple[int, ...] | None:
    """Return the shape, of the rank of x, in which the parameters broadcast to x; None if it is not known."""
    rank, scale, norm = rank_of(match["x"]), match.constant("scale").shape, match.node("norm")
    if rank is None:
        return None
    if norm.op_type in _PER_CHANNEL:
        return (1, *scale, *(1,) * (rank - 2)) if len(scale) == 1 and rank >= 2 else None
    axis = match.attribute("norm", "axis", -1) % rank
    shape = match["x"].shape
    fits = shape is not None and list(scale) == list(shape[axis:])
    return (1,) * axis + scale if fits else None


def _real(match: Match, name: str) -> Float64:
    return match.constant(name).astype(np.float64)
