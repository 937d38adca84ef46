"""A scale or a shift per channel beside a normalization is part of it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, var
from graphopt.rewrite.affine import Affine, operand_name, operand_of, rank, step, step_map
from graphopt.rewrite.pattern import Either, Op
from passes.fold_batch_norm.affine import affine, batch_norm, batch_norm_with, refuse_batch_norm


class ScaleAfterBatchNorm(Rule):
    """c·(scale·x + shift) = (c·scale)·x + c·shift, and so for +, - and /."""

    pattern: ClassVar[Either] = step(batch_norm(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is not per channel."""
        return refuse_batch_norm(match) or _refuse_step(match, rank(match.node("bn").outputs[0], match["x"]))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Change the normalization's scale and bias."""
        return batch_norm_with(match, build, match["x"], _map(match).after(affine(match)))


class ScaleBeforeBatchNorm(Rule):
    """scale·(c·x) + shift = (scale·c)·x + shift, and so for +, - and /."""

    pattern: ClassVar[Op] = batch_norm(step(var("x")))

    def refuse(self, match: Match) -> str | None:
        """Refuse an operand that is not per channel, or that may broadcast `x` to more channels."""
        x, channels = match["x"], match.constant("bn.scale").size
        reason = refuse_batch_norm(match) or _refuse_step(match, rank(x))
        if reason is None and operand_of(match).size > 1 and (x.shape is None or x.shape[1] != channels):
            return f"{x.name!r} may have fewer channels than {operand_name(match)}"
        return reason

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Change the normalization's scale and bias."""
        return batch_norm_with(match, build, match["x"], affine(match).after(_map(match)))


class BatchNormTwice(Rule):
    """scale₂·(scale·x + shift) + shift₂ is one scale and one shift."""

    pattern: ClassVar[Op] = batch_norm(batch_norm(var("x")), name="second")

    def refuse(self, match: Match) -> str | None:
        """Refuse where one of them is no map of the same channels."""
        return refuse_batch_norm(match) or refuse_batch_norm(match, "second", match.constant("bn.scale").size)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Keep the first normalization's statistics."""
        return batch_norm_with(match, build, match["x"], affine(match, "second").after(affine(match)))


def _map(match: Match) -> Affine:
    """Return the map of a matched step, for every channel of the normalization."""
    return step_map(match, np.broadcast_to(operand_of(match).reshape(-1), match.constant("bn.scale").shape))


def _refuse_step(match: Match, dims: int | None) -> str | None:
    """Return why a step on a tensor of that rank is not one number for each channel, or changes its shape."""
    operand, channels = operand_of(match), match.constant("bn.scale").size
    if operand.size == 1 and operand.ndim <= 1:
        return None
    if dims is None:
        return f"the rank of what {operand_name(match)} is applied to is unknown"
    shape = (1,) * (dims - operand.ndim) + operand.shape
    along_channels = len(shape) == dims and all(size == 1 for axis, size in enumerate(shape) if axis != 1)
    if not along_channels or operand.size not in (1, channels):
        return f"{operand_name(match)} is not one number for each channel"
    return None
