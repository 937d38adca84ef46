"""Linear operators in a row whose constants multiply, where that makes neither more parameters nor more work."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, op, optional, parameter, var
from graphopt.rewrite.affine import Float64, real
from graphopt.rewrite.convolution import pads
from graphopt.rewrite.pattern import Op
from graphopt.tensors import Array
from passes.fold_linear.products import as_bias
from passes.fold_linear.weights import bias_of, check_growth, is_real, other_reader


def _is_matrix(array: Array) -> bool:
    return array.ndim == 2 and is_real(array)


def _reads_rows(node: ir.Node) -> bool:
    return not node.attributes.get_int("transA", 0)


def _is_dense(node: ir.Node) -> bool:
    return node.attributes.get_int("group", 1) == 1


class ProductTwice(Rule):
    """(α·x@w + β·b)@v·γ + δ·d = x@(αγ·w@v) + (βγ·b@v + δ·d), with or without b and d, by Gemm or MatMul.

    w [k, h], v [h, n]: k·n numbers, read once for each row of x, take the place of k·h + h·n.
    """

    pattern: ClassVar[Op] = op("Gemm", "MatMul")(
        op("Gemm", "MatMul")(
            var("x"), const("first", _is_matrix), optional(const("first bias", is_real)), name="inner"
        ),
        const("weight", _is_matrix),
        optional(const("bias", is_real)),
        name="outer",
        where=_reads_rows,
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what grows."""
        first, second = self._factor(match, "inner", "first"), self._factor(match, "outer", "weight")
        return _refuse_growth(match, first.shape[0] * second.shape[1], first.size + second.size)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Multiply the constants."""
        second, dtype = self._factor(match, "outer", "weight"), match.dtype("weight")
        weight = build.constant("weight", self._factor(match, "inner", "first") @ second, dtype)
        if {match.node("inner").op_type, match.node("outer").op_type} == {"MatMul"}:
            return build.op("MatMul", match["x"], weight)
        attributes = {"transA": 1} if match.attribute("inner", "transA", 0) else {}
        return build.op("Gemm", match["x"], weight, self._bias(match, build, second), **attributes)

    def _bias(self, match: Match, build: Builder, second: Float64) -> ir.Value | None:
        if "bias" not in match and "first bias" not in match:
            return None
        bias = match.attribute("outer", "beta", 1.0) * bias_of(match)
        if "first bias" in match:
            first = match.attribute("inner", "beta", 1.0) * real(match, "first bias")
            bias = bias + np.broadcast_to(first, (*first.shape[:-1], second.shape[0])) @ second
        check_growth("bias", bias, *(match.constant(name) for name in ("bias", "first bias") if name in match))
        return build.constant("bias", as_bias(bias), match.dtype("weight"))

    @staticmethod
    def _factor(match: Match, node: str, name: str) -> Float64:
        """Return a constant factor as the product reads it, [rows, columns]."""
        factor = match.attribute(node, "alpha", 1.0) * real(match, name)
        return factor.T if match.attribute(node, "transB", 0) else factor


class BiasedMatMulTwice(Rule):
    """(x@w + b)@v = x@(w@v) + b@v, for products of more dimensions than a Gemm has."""

    pattern: ClassVar[Op] = op.MatMul(
        op.Add(op.MatMul(var("x"), const("first", _is_matrix)), const("bias", is_real)), const("weight", _is_matrix)
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a bias that differs from row to row, and what grows."""
        first, second, bias = match.constant("first"), match.constant("weight"), match.constant("bias")
        if bias.ndim > 1 or bias.size not in (1, first.shape[1]):
            return f"{match['bias'].name!r} is not one number for each column"
        return _refuse_growth(match, first.shape[0] * second.shape[1], first.size + second.size)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Multiply the constants."""
        second, dtype = real(match, "weight"), match.dtype("weight")
        weight = build.constant("weight", real(match, "first") @ second, dtype)
        bias = np.broadcast_to(real(match, "bias"), second.shape[:1]) @ second
        return build.op("Add", build.op("MatMul", match["x"], weight), build.constant("bias", bias, dtype))


class ConvTwice(Rule):
    """v∗(w∗x + b) + d = (v·w)∗x + (v·b + d), where one of the two reads single places, one after the other.

    w [h, c, …], v [m, h, …], neither in groups: m·c·kernel numbers take the place of h·c and m·h, one of them
    times the kernel. If v pads, it pads zeros and not b.
    """

    pattern: ClassVar[Op] = op.Conv(
        op.Conv(var("x"), parameter("first"), optional(parameter("first bias")), name="inner", where=_is_dense),
        parameter("weight"),
        optional(parameter("bias")),
        name="conv",
        where=_is_dense,
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse two kernels, a bias under padding, and what grows."""
        first, second = match.constant("first"), match.constant("weight")
        if first.ndim != second.ndim or first.shape[0] != second.shape[1]:
            return "the channels of the two convolutions do not fit together"
        padded = pads(match, second.shape[2:])
        if not _is_pointwise(match.node("conv"), second) or padded:
            if not _is_pointwise(match.node("inner"), first):
                return "both convolutions have a kernel, a stride or padding"
            if padded and "first bias" in match and match.constant("first bias").any():
                return "the convolution pads with zeros what the first one's bias has shifted"
        merged = second.shape[0] * first.shape[1] * prod(first.shape[2:]) * prod(second.shape[2:])
        # Padding may give the second more places than the first has, whose work then counts for less.
        work = second.size if padded else first.size + second.size
        return _refuse_growth(match, merged, work)

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Sum over the channels between."""
        first, second, dtype = real(match, "first"), real(match, "weight"), match.dtype("weight")
        joined = np.tensordot(second, first, axes=(1, 0))  # [m, v's kernel, c, w's kernel]
        kernel = first.shape[2:] if _is_pointwise(match.node("conv"), second) else second.shape[2:]
        merged = np.moveaxis(joined, second.ndim - 1, 1).reshape(second.shape[0], first.shape[1], *kernel)
        inputs = [match["x"], build.constant("weight", merged, dtype), self._bias(match, build, second)]
        node = match.node("inner" if _is_pointwise(match.node("conv"), second) else "conv")
        output = build.like(node, inputs)
        output.shape = match.root.outputs[0].shape
        return output

    @staticmethod
    def _bias(match: Match, build: Builder, second: Float64) -> ir.Value | None:
        if "first bias" not in match:
            return match.get("bias")
        shifted = (second * real(match, "first bias").reshape(1, -1, *[1] * (second.ndim - 2))).sum(
            axis=tuple(range(1, second.ndim))
        )
        return build.constant("bias", shifted + bias_of(match), match.dtype("weight"))


def _is_pointwise(node: ir.Node, weight: Array) -> bool:
    """Whether a convolution reads one place for each that it writes, in the same order."""
    strides, padding = node.attributes.get_ints("strides", (1,)), node.attributes.get_ints("pads", (0,))
    return all(size == 1 for size in (*weight.shape[2:], *strides)) and not any(padding)


def _refuse_growth(match: Match, merged: int, work: int) -> str | None:
    """Return why the product of two constants is no gain: `merged` elements for what does `work` steps a place."""
    removed = sum(match.constant(name).size for name in ("first", "weight") if not other_reader(match, match[name]))
    before = min(removed, work)
    return f"the product has {merged:,} elements where there are {before:,}" if merged > before else None
